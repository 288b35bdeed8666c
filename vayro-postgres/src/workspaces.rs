//! Workspaces and their members.

use async_trait::async_trait;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;
use vayro_core::access::Role;
use vayro_core::account::{Email, Member, MemberChange, Plan, Workspace};
use vayro_core::change::ChangeContext;
use vayro_core::ids::{UserId, WorkspaceId};
use vayro_core::ports::{StoreError, WorkspaceStore};
use vayro_core::timestamp::Timestamp;

use crate::audit::{Change, record};
use crate::database::PgStores;
use crate::error::Failure;
use crate::instant::Instant;
use crate::row::{bad, parsed};

#[derive(sqlx::FromRow)]
struct WorkspaceRow {
    id: Uuid,
    name: String,
    created_at: Instant,
}

impl From<WorkspaceRow> for Workspace {
    fn from(row: WorkspaceRow) -> Self {
        Self { id: WorkspaceId::from_uuid(row.id), name: row.name, created_at: row.created_at.into() }
    }
}

#[derive(sqlx::FromRow)]
struct MemberRow {
    user_id: Uuid,
    email: String,
    role: String,
    created_at: Instant,
}

impl TryFrom<MemberRow> for Member {
    type Error = StoreError;

    fn try_from(row: MemberRow) -> Result<Self, StoreError> {
        Ok(Self {
            user_id: UserId::from_uuid(row.user_id),
            email: parsed::<Email>(&row.email, "users.email")?,
            role: role(&row.role)?,
            created_at: row.created_at.into(),
        })
    }
}

fn role(name: &str) -> Result<Role, StoreError> {
    Role::from_name(name).ok_or_else(|| bad("memberships.role"))
}

/// Inserts a workspace; it has no member yet.
pub(crate) async fn insert(connection: &mut PgConnection, new: &Workspace) -> Result<(), Failure> {
    sqlx::query("INSERT INTO workspaces (id, name, created_at) VALUES ($1, $2, $3)")
        .bind(new.id.as_uuid())
        .bind(&new.name)
        .bind(Instant(new.created_at))
        .execute(connection)
        .await?;
    Ok(())
}

/// Inserts a member who is none yet.
pub(crate) async fn insert_member(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    user: UserId,
    role: Role,
    at: Timestamp,
) -> Result<(), Failure> {
    sqlx::query("INSERT INTO memberships (workspace_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)")
        .bind(workspace.as_uuid())
        .bind(user.as_uuid())
        .bind(role.as_str())
        .bind(Instant(at))
        .execute(connection)
        .await?;
    Ok(())
}

/// Returns the workspace, locked until the transaction ends: changes of its members happen one after the
/// other, so that two owners cannot remove each other.
async fn lock(connection: &mut PgConnection, id: WorkspaceId) -> Result<Option<Workspace>, Failure> {
    let row: Option<WorkspaceRow> =
        sqlx::query_as("SELECT id, name, created_at FROM workspaces WHERE id = $1 FOR NO KEY UPDATE")
            .bind(id.as_uuid())
            .fetch_optional(connection)
            .await?;
    Ok(row.map(Workspace::from))
}

async fn find_member(
    connection: &mut PgConnection,
    id: WorkspaceId,
    user: UserId,
) -> Result<Option<Member>, Failure> {
    let row: Option<MemberRow> = sqlx::query_as(
        "SELECT m.user_id, u.email, m.role, m.created_at
         FROM memberships m JOIN users u ON u.id = m.user_id
         WHERE m.workspace_id = $1 AND m.user_id = $2",
    )
    .bind(id.as_uuid())
    .bind(user.as_uuid())
    .fetch_optional(connection)
    .await?;
    Ok(row.map(Member::try_from).transpose()?)
}

/// Tells whether nobody but `user` owns the workspace.
async fn is_only_owner(
    connection: &mut PgConnection,
    id: WorkspaceId,
    user: UserId,
) -> Result<bool, Failure> {
    let has_other: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM memberships WHERE workspace_id = $1 AND user_id <> $2 AND role = $3)",
    )
    .bind(id.as_uuid())
    .bind(user.as_uuid())
    .bind(Role::Owner.as_str())
    .fetch_one(connection)
    .await?;
    Ok(!has_other)
}

async fn find_email(connection: &mut PgConnection, user: UserId) -> Result<Option<Email>, Failure> {
    let email: Option<String> = sqlx::query_scalar("SELECT email FROM users WHERE id = $1")
        .bind(user.as_uuid())
        .fetch_optional(connection)
        .await?;
    Ok(email.map(|email| parsed(&email, "users.email")).transpose()?)
}

/// Audits a change of a member.
async fn record_member(
    connection: &mut PgConnection,
    workspace: WorkspaceId,
    before: Option<&Member>,
    after: Option<&Member>,
    context: &ChangeContext,
) -> Result<(), Failure> {
    let Some(subject) = after.or(before).map(|member| member.user_id) else { return Ok(()) };
    let change = Change {
        workspace: Some(workspace),
        action: if after.is_some() { "member.set" } else { "member.remove" },
        subject: subject.as_uuid(),
        before,
        after,
    };
    record(connection, change, context).await
}

#[async_trait]
impl WorkspaceStore for PgStores {
    async fn insert(
        &self,
        new: &Workspace,
        owner: UserId,
        context: &ChangeContext,
    ) -> Result<(), StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            insert(&mut tx, new).await?;
            insert_member(&mut tx, new.id, owner, Role::Owner, context.at).await?;
            let change = Change {
                workspace: Some(new.id),
                action: "workspace.create",
                subject: new.id.as_uuid(),
                before: None,
                after: Some(new),
            };
            record(&mut tx, change, context).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    async fn find(&self, id: WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        self.within(async |connection| {
            let row: Option<WorkspaceRow> =
                sqlx::query_as("SELECT id, name, created_at FROM workspaces WHERE id = $1")
                    .bind(id.as_uuid())
                    .fetch_optional(connection)
                    .await?;
            Ok(row.map(Workspace::from))
        })
        .await
    }

    async fn list_for_user(&self, user: UserId) -> Result<Vec<(Workspace, Role)>, StoreError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            #[sqlx(flatten)]
            workspace: WorkspaceRow,
            role: String,
        }
        self.within(async |connection| {
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT w.id, w.name, w.created_at, m.role
                 FROM memberships m JOIN workspaces w ON w.id = m.workspace_id
                 WHERE m.user_id = $1
                 ORDER BY w.created_at, w.id",
            )
            .bind(user.as_uuid())
            .fetch_all(connection)
            .await?;
            let read = |row: Row| Ok::<_, StoreError>((row.workspace.into(), role(&row.role)?));
            Ok(rows.into_iter().map(read).collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn role(&self, workspace: WorkspaceId, user: UserId) -> Result<Option<Role>, StoreError> {
        self.within(async |connection| {
            let name: Option<String> =
                sqlx::query_scalar("SELECT role FROM memberships WHERE workspace_id = $1 AND user_id = $2")
                    .bind(workspace.as_uuid())
                    .bind(user.as_uuid())
                    .fetch_optional(connection)
                    .await?;
            Ok(name.map(|name| role(&name)).transpose()?)
        })
        .await
    }

    async fn rename(
        &self,
        id: WorkspaceId,
        name: &str,
        context: &ChangeContext,
    ) -> Result<Option<Workspace>, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            let Some(before) = lock(&mut tx, id).await? else { return Ok(None) };
            if before.name == name {
                return Ok(Some(before));
            }
            let after = Workspace { name: name.to_owned(), ..before.clone() };
            sqlx::query("UPDATE workspaces SET name = $2 WHERE id = $1")
                .bind(id.as_uuid())
                .bind(name)
                .execute(&mut *tx)
                .await?;
            let change = Change {
                workspace: Some(id),
                action: "workspace.update",
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

    async fn members(&self, id: WorkspaceId) -> Result<Vec<Member>, StoreError> {
        self.within(async |connection| {
            let rows: Vec<MemberRow> = sqlx::query_as(
                "SELECT m.user_id, u.email, m.role, m.created_at
                 FROM memberships m JOIN users u ON u.id = m.user_id
                 WHERE m.workspace_id = $1
                 ORDER BY m.created_at, m.user_id",
            )
            .bind(id.as_uuid())
            .fetch_all(connection)
            .await?;
            Ok(rows.into_iter().map(Member::try_from).collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn set_member(
        &self,
        id: WorkspaceId,
        user: UserId,
        role: Role,
        context: &ChangeContext,
    ) -> Result<MemberChange, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            if lock(&mut tx, id).await?.is_none() {
                return Ok(MemberChange::Missing);
            }
            let before = find_member(&mut tx, id, user).await?;
            let after = match &before {
                Some(before) if before.role == role => return Ok(MemberChange::Done),
                Some(before) => {
                    if before.role == Role::Owner && is_only_owner(&mut tx, id, user).await? {
                        return Ok(MemberChange::LastOwner);
                    }
                    sqlx::query("UPDATE memberships SET role = $3 WHERE workspace_id = $1 AND user_id = $2")
                        .bind(id.as_uuid())
                        .bind(user.as_uuid())
                        .bind(role.as_str())
                        .execute(&mut *tx)
                        .await?;
                    Member { role, ..before.clone() }
                }
                None => {
                    let Some(email) = find_email(&mut tx, user).await? else {
                        return Ok(MemberChange::Missing);
                    };
                    insert_member(&mut tx, id, user, role, context.at).await?;
                    Member { user_id: user, email, role, created_at: context.at }
                }
            };
            record_member(&mut tx, id, before.as_ref(), Some(&after), context).await?;
            tx.commit().await?;
            Ok(MemberChange::Done)
        })
        .await
    }

    async fn remove_member(
        &self,
        id: WorkspaceId,
        user: UserId,
        context: &ChangeContext,
    ) -> Result<MemberChange, StoreError> {
        self.within(async |connection| {
            let mut tx = connection.begin().await?;
            if lock(&mut tx, id).await?.is_none() {
                return Ok(MemberChange::Missing);
            }
            let Some(before) = find_member(&mut tx, id, user).await? else {
                return Ok(MemberChange::Missing);
            };
            if before.role == Role::Owner && is_only_owner(&mut tx, id, user).await? {
                return Ok(MemberChange::LastOwner);
            }
            sqlx::query("DELETE FROM memberships WHERE workspace_id = $1 AND user_id = $2")
                .bind(id.as_uuid())
                .bind(user.as_uuid())
                .execute(&mut *tx)
                .await?;
            sqlx::query(
                "UPDATE api_keys SET revoked_at = $3
                 WHERE workspace_id = $1 AND user_id = $2 AND revoked_at IS NULL",
            )
            .bind(id.as_uuid())
            .bind(user.as_uuid())
            .bind(Instant(context.at))
            .execute(&mut *tx)
            .await?;
            record_member(&mut tx, id, Some(&before), None, context).await?;
            tx.commit().await?;
            Ok(MemberChange::Done)
        })
        .await
    }

    async fn plan(&self, id: WorkspaceId) -> Result<Option<Plan>, StoreError> {
        self.within(async |connection| {
            let name: Option<String> = sqlx::query_scalar(
                "SELECT u.plan
                 FROM memberships m JOIN users u ON u.id = m.user_id
                 WHERE m.workspace_id = $1 AND m.role = $2
                 ORDER BY m.created_at, m.user_id
                 LIMIT 1",
            )
            .bind(id.as_uuid())
            .bind(Role::Owner.as_str())
            .fetch_optional(connection)
            .await?;
            Ok(name.map(|name| Plan::from_name(&name).ok_or_else(|| bad("users.plan"))).transpose()?)
        })
        .await
    }
}
