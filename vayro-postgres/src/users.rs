//! Accounts.

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;
use vayro_core::access::Role;
use vayro_core::account::{Email, NewUser, Plan, User, UserPatch, Workspace};
use vayro_core::change::ChangeContext;
use vayro_core::ids::UserId;
use vayro_core::ports::{StoreError, UserStore};

use crate::audit::{Change, record};
use crate::database::PgStores;
use crate::error::Failure;
use crate::instant::Instant;
use crate::row::{bad, maybe_instant, maybe_timestamp, parsed};
use crate::workspaces;

/// An account as it is stored, without its password hash.
#[derive(sqlx::FromRow)]
pub(crate) struct UserRow {
    #[sqlx(rename = "user_id")]
    id: Uuid,
    email: String,
    plan: String,
    is_operator: bool,
    disabled_at: Option<Instant>,
    #[sqlx(rename = "user_created_at")]
    created_at: Instant,
}

impl TryFrom<UserRow> for User {
    type Error = StoreError;

    fn try_from(row: UserRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: UserId::from_uuid(row.id),
            email: parsed::<Email>(&row.email, "users.email")?,
            plan: Plan::from_name(&row.plan).ok_or_else(|| bad("users.plan"))?,
            is_operator: row.is_operator,
            disabled_at: maybe_timestamp(row.disabled_at),
            created_at: row.created_at.into(),
        })
    }
}

/// An account and its password hash.
#[derive(sqlx::FromRow)]
struct SecretRow {
    #[sqlx(flatten)]
    user: UserRow,
    password_hash: String,
}

/// Returns the account and its password hash, locked until the transaction ends.
async fn lock(connection: &mut PgConnection, id: UserId) -> Result<Option<(User, String)>, Failure> {
    let row: Option<SecretRow> = sqlx::query_as(
        "SELECT id AS user_id, email, plan, is_operator, disabled_at, created_at AS user_created_at,
                password_hash
         FROM users WHERE id = $1 FOR NO KEY UPDATE",
    )
    .bind(id.as_uuid())
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some((User::try_from(row.user)?, row.password_hash)))
}

async fn insert(
    connection: &mut PgConnection,
    new: &NewUser,
    context: &ChangeContext,
) -> Result<User, Failure> {
    sqlx::query(
        "INSERT INTO users (id, email, password_hash, plan, is_operator, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(new.id.as_uuid())
    .bind(new.email.as_str())
    .bind(&new.password_hash)
    .bind(new.plan.as_str())
    .bind(new.is_operator)
    .bind(Instant(context.at))
    .execute(connection)
    .await?;
    Ok(User {
        id: new.id,
        email: new.email.clone(),
        plan: new.plan,
        is_operator: new.is_operator,
        disabled_at: None,
        created_at: context.at,
    })
}

async fn store(connection: &mut PgConnection, user: &User, password_hash: &str) -> Result<(), Failure> {
    sqlx::query(
        "UPDATE users SET password_hash = $2, plan = $3, is_operator = $4, disabled_at = $5 WHERE id = $1",
    )
    .bind(user.id.as_uuid())
    .bind(password_hash)
    .bind(user.plan.as_str())
    .bind(user.is_operator)
    .bind(maybe_instant(user.disabled_at))
    .execute(connection)
    .await?;
    Ok(())
}

async fn end_sessions(connection: &mut PgConnection, id: UserId) -> Result<(), Failure> {
    sqlx::query("DELETE FROM sessions WHERE user_id = $1").bind(id.as_uuid()).execute(connection).await?;
    Ok(())
}

#[async_trait]
impl UserStore for PgStores {
    async fn insert(
        &self,
        new: NewUser,
        workspace: &Workspace,
        context: &ChangeContext,
    ) -> Result<User, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let user = insert(&mut tx, &new, context).await?;
            workspaces::insert(&mut tx, workspace).await?;
            workspaces::insert_member(&mut tx, workspace.id, user.id, Role::Owner, context.at).await?;
            let change = Change {
                workspace: Some(workspace.id),
                action: "user.create",
                subject: user.id.as_uuid(),
                before: None,
                after: Some(&user),
            };
            record(&mut tx, change, context).await?;
            tx.commit().await?;
            Ok(user)
        })
        .await
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.within(async |connection| {
            let row: Option<UserRow> = sqlx::query_as(
                "SELECT id AS user_id, email, plan, is_operator, disabled_at, created_at AS user_created_at
                 FROM users WHERE id = $1",
            )
            .bind(id.as_uuid())
            .fetch_optional(connection)
            .await?;
            Ok(row.map(User::try_from).transpose()?)
        })
        .await
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<(User, String)>, StoreError> {
        self.within(async |connection| {
            let row: Option<SecretRow> = sqlx::query_as(
                "SELECT id AS user_id, email, plan, is_operator, disabled_at, created_at AS user_created_at,
                        password_hash
                 FROM users WHERE email = $1",
            )
            .bind(email.as_str())
            .fetch_optional(connection)
            .await?;
            let Some(row) = row else { return Ok(None) };
            Ok(Some((User::try_from(row.user)?, row.password_hash)))
        })
        .await
    }

    async fn list(&self, max: u16) -> Result<Vec<User>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<UserRow> = sqlx::query_as(
                "SELECT id AS user_id, email, plan, is_operator, disabled_at, created_at AS user_created_at
                 FROM users ORDER BY created_at, id LIMIT $1",
            )
            .bind(i64::from(max))
            .fetch_all(connection)
            .await?;
            Ok(rows.into_iter().map(User::try_from).collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn update(
        &self,
        id: UserId,
        patch: &UserPatch,
        context: &ChangeContext,
    ) -> Result<Option<User>, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let Some((before, old_hash)) = lock(&mut tx, id).await? else { return Ok(None) };
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
            let is_password_new = patch.password_hash.is_some();
            if after == before && !is_password_new {
                return Ok(Some(before));
            }
            store(&mut tx, &after, patch.password_hash.as_deref().unwrap_or(&old_hash)).await?;
            if is_password_new || patch.is_disabled == Some(true) {
                end_sessions(&mut tx, id).await?;
            }
            let change = Change {
                workspace: None,
                action: "user.update",
                subject: id.as_uuid(),
                before: Some(&before),
                after: Some(&after),
            };
            record(&mut tx, change, context).await?;
            tx.commit().await?;
            Ok(Some(after))
        })
        .await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.within(async |connection| {
            let count: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(connection).await?;
            Ok(count.unsigned_abs())
        })
        .await
    }
}
