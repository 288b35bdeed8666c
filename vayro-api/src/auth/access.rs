//! Where somebody works: the one place that finds the workspace and asks `vayro_core::access`.

use axum::extract::FromRequestParts;
use http::request::Parts;
use vayro_core::access::{Action, Role, check};
use vayro_core::change::ChangeContext;
use vayro_core::ids::WorkspaceId;

use super::caller::{Caller, Credential};
use crate::problem::{Code, FieldError, Problem};
use crate::state::{ApiState, SharedState};

/// Header that chooses the workspace.
pub(crate) const WORKSPACE_HEADER: &str = "x-vayro-workspace";

/// A caller in a workspace.
///
/// The workspace's id is only given out by [`Access::require`], so that no query can be made without
/// having asked whether it may.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    pub(crate) caller: Caller,
    workspace_id: WorkspaceId,
    role: Role,
}

impl FromRequestParts<SharedState> for Access {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &SharedState) -> Result<Self, Problem> {
        // Found already, by whoever looked at the request before its handler.
        if let Some(known) = parts.extensions.get::<Self>() {
            return Ok(known.clone());
        }
        let caller = Caller::from_request_parts(parts, state).await?;
        let chosen = match parts.headers.get(WORKSPACE_HEADER) {
            None => None,
            Some(value) => {
                let id = value.to_str().ok().and_then(|text| text.trim().parse::<WorkspaceId>().ok());
                Some(id.ok_or_else(|| {
                    let error = FieldError::header(WORKSPACE_HEADER, "is not the id of a workspace");
                    Problem::of_fields(Code::InvalidHeader, vec![error])
                })?)
            }
        };
        let id = match (chosen, &caller.credential) {
            (Some(id), _) => id,
            (None, Credential::Key(key)) => key.workspace_id,
            (None, Credential::Session(_)) => {
                let all = state.ports.workspaces.list_for_user(caller.user.id).await?;
                let (workspace, role) = all
                    .into_iter()
                    .next()
                    .ok_or_else(|| Problem::new(Code::Forbidden, "you are in no workspace"))?;
                return Ok(Self { caller, workspace_id: workspace.id, role });
            }
        };
        Self::find(caller, id, state).await
    }
}

impl Access {
    /// Returns the caller's access to this workspace, not found if there is none.
    pub(crate) async fn find(caller: Caller, id: WorkspaceId, state: &ApiState) -> Result<Self, Problem> {
        // A key works in its own workspace only, whatever else its owner may see.
        if let Credential::Key(key) = &caller.credential
            && key.workspace_id != id
        {
            return Err(Problem::not_found("workspace"));
        }
        match state.ports.workspaces.role(id, caller.user.id).await? {
            Some(role) => Ok(Self { caller, workspace_id: id, role }),
            None => Err(Problem::not_found("workspace")),
        }
    }

    /// Returns the workspace if the caller may do `action` in it.
    pub(crate) fn require(&self, action: Action) -> Result<WorkspaceId, Problem> {
        check(self.role, self.caller.scopes(), action)?;
        Ok(self.workspace_id)
    }

    /// Returns the caller's role.
    pub(crate) const fn role(&self) -> Role {
        self.role
    }

    /// Returns what the audit log keeps about a change made now.
    pub(crate) fn change(&self, state: &ApiState) -> ChangeContext {
        self.caller.change(state)
    }
}
