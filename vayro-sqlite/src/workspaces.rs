//! Workspaces and their members.

use async_trait::async_trait;
use serde_json::Value;
use sqlx::SqliteConnection;
use uuid::Uuid;
use vayro_core::access::Role;
use vayro_core::account::{Member, MemberChange, Plan, Workspace};
use vayro_core::change::ChangeContext;
use vayro_core::ids::{UserId, WorkspaceId};
use vayro_core::ports::{StoreError, WorkspaceStore};
use vayro_core::timestamp::Timestamp;

use crate::audit::{Change, json, record};
use crate::database::SqliteStores;
use crate::error::store_error;
use crate::keys;
use crate::row::{bad, instant, parsed};

#[derive(sqlx::FromRow)]
struct WorkspaceRow {
    id: Uuid,
    name: String,
    created_at: i64,
}

impl TryFrom<WorkspaceRow> for Workspace {
    type Error = StoreError;

    fn try_from(row: WorkspaceRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: WorkspaceId::from_uuid(row.id),
            name: row.name,
            created_at: instant(row.created_at, "workspaces.created_at")?,
        })
    }
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    user_id: Uuid,
    email: String,
    role: String,
    created_at: i64,
}

impl TryFrom<MemberRow> for Member {
    type Error = StoreError;

    fn try_from(row: MemberRow) -> Result<Self, StoreError> {
        Ok(Self {
            user_id: UserId::from_uuid(row.user_id),
            email: parsed(&row.email, "users.email")?,
            role: role(&row.role)?,
            created_at: instant(row.created_at, "memberships.created_at")?,
        })
    }
}

fn role(name: &str) -> Result<Role, StoreError> {
    Role::from_name(name).ok_or_else(|| bad("memberships.role"))
}

/// Inserts the workspace alone, in a transaction that also makes its owner.
pub(crate) async fn insert(
    connection: &mut SqliteConnection,
    workspace: &Workspace,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO workspaces (id, name, created_at) VALUES (?1, ?2, ?3)")
        .bind(workspace.id.as_uuid())
        .bind(&workspace.name)
        .bind(workspace.created_at.as_micros())
        .execute(connection)
        .await
        .map(drop)
        .map_err(store_error)
}

/// Adds a member or changes its role; since when it is one stays.
pub(crate) async fn put_member(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    user: UserId,
    role: Role,
    at: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO memberships (workspace_id, user_id, role, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (workspace_id, user_id) DO UPDATE SET role = excluded.role",
    )
    .bind(workspace.as_uuid())
    .bind(user.as_uuid())
    .bind(role.as_str())
    .bind(at.as_micros())
    .execute(connection)
    .await
    .map(drop)
    .map_err(store_error)
}

async fn find(connection: &mut SqliteConnection, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
    let row: Option<WorkspaceRow> =
        sqlx::query_as("SELECT id, name, created_at FROM workspaces WHERE id = ?1")
            .bind(id.as_uuid())
            .fetch_optional(connection)
            .await
            .map_err(store_error)?;
    row.map(Workspace::try_from).transpose()
}

async fn find_member(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    user: UserId,
) -> Result<Option<Member>, StoreError> {
    let row: Option<MemberRow> = sqlx::query_as(
        "SELECT m.user_id, u.email, m.role, m.created_at
         FROM memberships m JOIN users u ON u.id = m.user_id
         WHERE m.workspace_id = ?1 AND m.user_id = ?2",
    )
    .bind(workspace.as_uuid())
    .bind(user.as_uuid())
    .fetch_optional(connection)
    .await
    .map_err(store_error)?;
    row.map(Member::try_from).transpose()
}

/// Tells whether `member` is the only owner, in a transaction that is about to make it none.
async fn is_last_owner(
    connection: &mut SqliteConnection,
    workspace: WorkspaceId,
    member: &Member,
) -> Result<bool, StoreError> {
    if member.role != Role::Owner {
        return Ok(false);
    }
    let owners: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM memberships WHERE workspace_id = ?1 AND role = ?2")
            .bind(workspace.as_uuid())
            .bind(Role::Owner.as_str())
            .fetch_one(connection)
            .await
            .map_err(store_error)?;
    Ok(owners <= 1)
}

#[async_trait]
impl WorkspaceStore for SqliteStores {
    async fn insert(
        &self,
        new: &Workspace,
        owner: UserId,
        context: &ChangeContext,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        insert(&mut tx, new).await?;
        put_member(&mut tx, new.id, owner, Role::Owner, context.at).await?;
        let change = Change {
            workspace_id: Some(new.id),
            action: "workspace.create",
            subject_id: new.id.as_uuid(),
            before: Value::Null,
            after: json(new)?,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)
    }

    async fn find(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        let mut connection = self.readers.acquire().await.map_err(store_error)?;
        find(&mut connection, id).await
    }

    async fn list_for_user(&self, user: UserId) -> Result<Vec<(Workspace, Role)>, StoreError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            #[sqlx(flatten)]
            workspace: WorkspaceRow,
            role: String,
        }
        let rows: Vec<Row> = sqlx::query_as(
            "SELECT w.id, w.name, w.created_at, m.role
             FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
             WHERE m.user_id = ?1 ORDER BY w.created_at, w.id",
        )
        .bind(user.as_uuid())
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(|row| Ok((row.workspace.try_into()?, role(&row.role)?))).collect()
    }

    async fn role(&self, workspace: WorkspaceId, user: UserId) -> Result<Option<Role>, StoreError> {
        let name: Option<String> =
            sqlx::query_scalar("SELECT role FROM memberships WHERE workspace_id = ?1 AND user_id = ?2")
                .bind(workspace.as_uuid())
                .bind(user.as_uuid())
                .fetch_optional(&self.readers)
                .await
                .map_err(store_error)?;
        name.as_deref().map(role).transpose()
    }

    async fn rename(
        &self,
        id: WorkspaceId,
        name: &str,
        context: &ChangeContext,
    ) -> Result<Option<Workspace>, StoreError> {
        let mut tx = self.begin().await?;
        let Some(before) = find(&mut tx, id).await? else { return Ok(None) };
        if before.name == name {
            return Ok(Some(before));
        }
        let after = Workspace { name: name.to_owned(), ..before.clone() };
        sqlx::query("UPDATE workspaces SET name = ?2 WHERE id = ?1")
            .bind(id.as_uuid())
            .bind(name)
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        let change = Change {
            workspace_id: Some(id),
            action: "workspace.update",
            subject_id: id.as_uuid(),
            before: json(&before)?,
            after: json(&after)?,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(Some(after))
    }

    async fn members(&self, id: WorkspaceId) -> Result<Vec<Member>, StoreError> {
        let rows: Vec<MemberRow> = sqlx::query_as(
            "SELECT m.user_id, u.email, m.role, m.created_at
             FROM memberships m JOIN users u ON u.id = m.user_id
             WHERE m.workspace_id = ?1 ORDER BY m.created_at, m.user_id",
        )
        .bind(id.as_uuid())
        .fetch_all(&self.readers)
        .await
        .map_err(store_error)?;
        rows.into_iter().map(Member::try_from).collect()
    }

    async fn set_member(
        &self,
        id: WorkspaceId,
        user: UserId,
        role: Role,
        context: &ChangeContext,
    ) -> Result<MemberChange, StoreError> {
        let mut tx = self.begin().await?;
        if find(&mut tx, id).await?.is_none() || crate::users::find(&mut tx, user).await?.is_none() {
            return Ok(MemberChange::Missing);
        }
        let before = find_member(&mut tx, id, user).await?;
        if let Some(member) = &before {
            if member.role == role {
                return Ok(MemberChange::Done);
            }
            if is_last_owner(&mut tx, id, member).await? {
                return Ok(MemberChange::LastOwner);
            }
        }
        put_member(&mut tx, id, user, role, context.at).await?;
        let after = find_member(&mut tx, id, user).await?;
        let change = Change {
            workspace_id: Some(id),
            action: "member.set",
            subject_id: user.as_uuid(),
            before: json(&before)?,
            after: json(&after)?,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(MemberChange::Done)
    }

    async fn remove_member(
        &self,
        id: WorkspaceId,
        user: UserId,
        context: &ChangeContext,
    ) -> Result<MemberChange, StoreError> {
        let mut tx = self.begin().await?;
        let Some(before) = find_member(&mut tx, id, user).await? else { return Ok(MemberChange::Missing) };
        if is_last_owner(&mut tx, id, &before).await? {
            return Ok(MemberChange::LastOwner);
        }
        sqlx::query("DELETE FROM memberships WHERE workspace_id = ?1 AND user_id = ?2")
            .bind(id.as_uuid())
            .bind(user.as_uuid())
            .execute(&mut *tx)
            .await
            .map_err(store_error)?;
        keys::revoke_of_member(&mut tx, id, user, context.at).await?;
        let change = Change {
            workspace_id: Some(id),
            action: "member.remove",
            subject_id: user.as_uuid(),
            before: json(&before)?,
            after: Value::Null,
        };
        record(&mut tx, context, change).await?;
        tx.commit().await.map_err(store_error)?;
        Ok(MemberChange::Done)
    }

    async fn plan(&self, id: WorkspaceId) -> Result<Option<Plan>, StoreError> {
        let name: Option<String> = sqlx::query_scalar(
            "SELECT u.plan FROM memberships m JOIN users u ON u.id = m.user_id
             WHERE m.workspace_id = ?1 AND m.role = ?2 ORDER BY m.created_at, m.user_id LIMIT 1",
        )
        .bind(id.as_uuid())
        .bind(Role::Owner.as_str())
        .fetch_optional(&self.readers)
        .await
        .map_err(store_error)?;
        name.map(|name| Plan::from_name(&name).ok_or_else(|| bad("users.plan"))).transpose()
    }
}
