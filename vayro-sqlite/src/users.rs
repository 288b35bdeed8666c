//! Accounts.

use async_trait::async_trait;
use serde_json::Value;
use sqlx::SqliteConnection;
use uuid::Uuid;
use vayro_core::access::Role;
use vayro_core::account::{Email, NewUser, Plan, User, UserPatch, Workspace};
use vayro_core::change::ChangeContext;
use vayro_core::ids::UserId;
use vayro_core::ports::{StoreError, UserStore};

use crate::audit::{Change, json, record};
use crate::database::SqliteStores;
use crate::error::store_error;
use crate::row::{bad, instant, maybe_instant, maybe_micros, parsed};
use crate::{sessions, workspaces};

#[derive(sqlx::FromRow)]
struct UserRow {
    id: Uuid,
    email: String,
    plan: String,
    is_operator: bool,
    disabled_at: Option<i64>,
    created_at: i64,
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: UserId::from_uuid(row.id),
            email: parsed(&row.email, "users.email")?,
            plan: Plan::from_name(&row.plan).ok_or_else(|| bad("users.plan"))?,
            is_operator: row.is_operator,
            disabled_at: maybe_instant(row.disabled_at, "users.disabled_at")?,
            created_at: instant(row.created_at, "users.created_at")?,
        })
    }
}

/// Returns the account, on a connection that may hold a transaction.
pub(crate) async fn find(connection: &mut SqliteConnection, id: UserId) -> Result<Option<User>, StoreError> {
    let row: Option<UserRow> = sqlx::query_as(
        "SELECT id, email, plan, is_operator, disabled_at, created_at FROM users WHERE id = ?1",
    )
    .bind(id.as_uuid())
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    row.map(User::try_from).transpose()
}

#[async_trait]
impl UserStore for SqliteStores {
    async fn insert(
        &self,
        new: NewUser,
        workspace: &Workspace,
        context: &ChangeContext,
    ) -> Result<User, StoreError> {
        let user = User {
            id: new.id,
            email: new.email,
            plan: new.plan,
            is_operator: new.is_operator,
            disabled_at: None,
            created_at: context.at,
        };
        let mut tx = self.begin().await?;
        sqlx::query(
            "INSERT INTO users (id, email, password_hash, plan, is_operator, created_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(user.id.as_uuid())
        .bind(user.email.as_str())
        .bind(&new.password_hash)
        .bind(user.plan.as_str())
        .bind(user.is_operator)
        .bind(user.created_at.as_micros())
        .execute(&mut *tx)
        .await
        .map_err(store_error)?;
        workspaces::insert(&mut tx, workspace).await?;
        workspaces::put_member(&mut tx, workspace.id, user.id, Role::Owner, context.at).await?;
        let change = Change {
            workspace_id: Some(workspace.id),
            action: "user.create",
            subject_id: user.id.as_uuid(),
            before: Value::Null,
            after: json(&user)?,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(user)
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(store_error)?;
        find(&mut connection, id).await
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<(User, String)>, StoreError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            #[sqlx(flatten)]
            user: UserRow,
            password_hash: String,
        }
        let row: Option<Row> = sqlx::query_as(
            "SELECT id, email, plan, is_operator, disabled_at, created_at, password_hash
             FROM users WHERE email = ?1",
        )
        .bind(email.as_str())
        .fetch_optional(&self.readers)
        .await
        .map_err(store_error)?;
        row.map(|row| Ok((row.user.try_into()?, row.password_hash))).transpose()
    }

    async fn list(&self, max: u16) -> Result<Vec<User>, StoreError> {
        let rows: Vec<UserRow> = sqlx::query_as(
            "SELECT id, email, plan, is_operator, disabled_at, created_at
             FROM users ORDER BY created_at, id LIMIT ?1",
        )
        .bind(max)
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(User::try_from).collect()
    }

    async fn update(
        &self,
        id: UserId,
        patch: &UserPatch,
        context: &ChangeContext,
    ) -> Result<Option<User>, StoreError> {
        let mut tx = self.begin().await?;
        let Some(before) = find(&mut tx, id).await? else { return Ok(None) };
        let after = User {
            plan: patch.plan.unwrap_or(before.plan),
            is_operator: patch.is_operator.unwrap_or(before.is_operator),
            disabled_at: match patch.is_disabled {
                Some(true) => before.disabled_at.or(Some(context.at)),
                Some(false) => None,
                None => before.disabled_at,
            },
            ..before.clone()
        };
        if after == before && patch.password_hash.is_none() {
            return Ok(Some(before));
        }
        sqlx::query(
            "UPDATE users
             SET plan = ?2, is_operator = ?3, disabled_at = ?4, password_hash = COALESCE(?5, password_hash)
             WHERE id = ?1",
        )
        .bind(id.as_uuid())
        .bind(after.plan.as_str())
        .bind(after.is_operator)
        .bind(maybe_micros(after.disabled_at))
        .bind(patch.password_hash.as_deref())
        .execute(&mut *tx)
        .await
        .map_err(store_error)?;
        if patch.password_hash.is_some() || patch.is_disabled == Some(true) {
            sessions::end_all(&mut tx, id).await?;
        }
        let change = Change {
            workspace_id: None,
            action: "user.update",
            subject_id: id.as_uuid(),
            before: json(&before)?,
            after: json(&after)?,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(Some(after))
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM users")
            .fetch_one(&self.readers)
            .await
            .map_err(store_error)?;
        Ok(count.unsigned_abs())
    }
}
