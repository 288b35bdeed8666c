//! Who may do what: the one table of roles, actions and scopes.

use serde::{Deserialize, Serialize};

/// What a member is in a workspace, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Works with links.
    Member,
    /// Also manages domains, keys, shares and members.
    Admin,
    /// Also owns the workspace; its plan is the workspace's plan.
    Owner,
}

impl Role {
    /// Every role, weakest first.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Member, Self::Admin, Self::Owner];

    /// Returns its name in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Reads a role's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }

    /// Tells whether this role may do `action` in its workspace.
    pub fn allows(self, action: Action) -> bool {
        match action {
            Action::LinksRead | Action::AnalyticsRead | Action::DomainsRead | Action::WorkspaceRead => true,
            Action::LinksWrite => self >= Self::Member,
            Action::DomainsWrite
            | Action::KeysManage
            | Action::SharesManage
            | Action::MembersManage
            | Action::AuditRead => self >= Self::Admin,
            Action::WorkspaceWrite => self == Self::Owner,
        }
    }
}

impl Role {
    /// Tells whether a member of this role may turn the role `from` of a member into `to`.
    ///
    /// `None` stands for not being a member. Nobody hands out, or takes away, a role above their own.
    pub fn may_change(self, from: Option<Self>, to: Option<Self>) -> bool {
        self.allows(Action::MembersManage) && from.max(to) <= Some(self)
    }
}

/// Why something is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The role does not reach.
    #[error("your role in this workspace does not allow this")]
    Role,
    /// The API key lacks this scope.
    #[error("the API key lacks the scope `{}`", .0.as_str())]
    Scope(Scope),
    /// Only operators of the instance may do this.
    #[error("only operators of this instance may do this")]
    Operator,
}

/// Decides whether a member with `role` may do `action`; `scopes` are those of the API key used,
/// `None` for a signed-in browser.
///
/// # Errors
///
/// [`Refusal`] says what is lacking.
pub fn check(role: Role, scopes: Option<&[Scope]>, action: Action) -> Result<(), Refusal> {
    if !role.allows(action) {
        return Err(Refusal::Role);
    }
    check_scope(scopes, action.scope())
}

/// Decides whether an account may operate the instance; `scopes` as in [`check`].
///
/// # Errors
///
/// [`Refusal`] says what is lacking.
pub fn check_operator(is_operator: bool, scopes: Option<&[Scope]>) -> Result<(), Refusal> {
    if !is_operator {
        return Err(Refusal::Operator);
    }
    check_scope(scopes, Scope::Ops)
}

fn check_scope(scopes: Option<&[Scope]>, needed: Scope) -> Result<(), Refusal> {
    if scopes.is_none_or(|scopes| scopes.contains(&needed)) { Ok(()) } else { Err(Refusal::Scope(needed)) }
}

/// What can be done in a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// See links.
    LinksRead,
    /// Make, change, delete and restore links.
    LinksWrite,
    /// See statistics.
    AnalyticsRead,
    /// See domains.
    DomainsRead,
    /// Add and remove domains.
    DomainsWrite,
    /// See, make and revoke API keys.
    KeysManage,
    /// See, make and revoke shares of statistics.
    SharesManage,
    /// See the workspace and its members.
    WorkspaceRead,
    /// Rename the workspace.
    WorkspaceWrite,
    /// Add and remove members and change roles.
    MembersManage,
    /// Read the audit log.
    AuditRead,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 11] = [
        Self::LinksRead,
        Self::LinksWrite,
        Self::AnalyticsRead,
        Self::DomainsRead,
        Self::DomainsWrite,
        Self::KeysManage,
        Self::SharesManage,
        Self::WorkspaceRead,
        Self::WorkspaceWrite,
        Self::MembersManage,
        Self::AuditRead,
    ];

    /// Returns the scope an API key needs for it.
    pub const fn scope(self) -> Scope {
        match self {
            Self::LinksRead => Scope::LinksRead,
            Self::LinksWrite => Scope::LinksWrite,
            Self::AnalyticsRead => Scope::AnalyticsRead,
            Self::DomainsRead => Scope::DomainsRead,
            Self::DomainsWrite => Scope::DomainsWrite,
            Self::KeysManage => Scope::KeysWrite,
            Self::SharesManage => Scope::SharesWrite,
            Self::WorkspaceRead | Self::AuditRead => Scope::WorkspaceRead,
            Self::WorkspaceWrite | Self::MembersManage => Scope::WorkspaceWrite,
        }
    }
}

/// What an API key may be used for; its owner's role still applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// See links.
    #[serde(rename = "links:read")]
    LinksRead,
    /// Change links.
    #[serde(rename = "links:write")]
    LinksWrite,
    /// See statistics.
    #[serde(rename = "analytics:read")]
    AnalyticsRead,
    /// See domains.
    #[serde(rename = "domains:read")]
    DomainsRead,
    /// Change domains.
    #[serde(rename = "domains:write")]
    DomainsWrite,
    /// Manage API keys.
    #[serde(rename = "keys:write")]
    KeysWrite,
    /// Manage shares of statistics.
    #[serde(rename = "shares:write")]
    SharesWrite,
    /// See the workspace.
    #[serde(rename = "workspace:read")]
    WorkspaceRead,
    /// Change the workspace and its members.
    #[serde(rename = "workspace:write")]
    WorkspaceWrite,
    /// Operate the instance; only for keys of operators.
    #[serde(rename = "ops")]
    Ops,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 10] = [
        Self::LinksRead,
        Self::LinksWrite,
        Self::AnalyticsRead,
        Self::DomainsRead,
        Self::DomainsWrite,
        Self::KeysWrite,
        Self::SharesWrite,
        Self::WorkspaceRead,
        Self::WorkspaceWrite,
        Self::Ops,
    ];

    /// Returns its name in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinksRead => "links:read",
            Self::LinksWrite => "links:write",
            Self::AnalyticsRead => "analytics:read",
            Self::DomainsRead => "domains:read",
            Self::DomainsWrite => "domains:write",
            Self::KeysWrite => "keys:write",
            Self::SharesWrite => "shares:write",
            Self::WorkspaceRead => "workspace:read",
            Self::WorkspaceWrite => "workspace:write",
            Self::Ops => "ops",
        }
    }

    /// Reads a scope's name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_and_action_is_decided_as_written_here() {
        // viewer, member, admin, owner
        let table = [
            (Action::LinksRead, [true, true, true, true]),
            (Action::LinksWrite, [false, true, true, true]),
            (Action::AnalyticsRead, [true, true, true, true]),
            (Action::DomainsRead, [true, true, true, true]),
            (Action::DomainsWrite, [false, false, true, true]),
            (Action::KeysManage, [false, false, true, true]),
            (Action::SharesManage, [false, false, true, true]),
            (Action::WorkspaceRead, [true, true, true, true]),
            (Action::WorkspaceWrite, [false, false, false, true]),
            (Action::MembersManage, [false, false, true, true]),
            (Action::AuditRead, [false, false, true, true]),
        ];
        assert_eq!(table.len(), Action::ALL.len());
        for (action, expected) in table {
            assert_eq!(Role::ALL.map(|role| role.allows(action)), expected, "{action:?}");
        }
    }

    #[test]
    fn nobody_hands_out_a_role_above_their_own() {
        assert!(Role::Admin.may_change(None, Some(Role::Admin)));
        assert!(Role::Owner.may_change(Some(Role::Owner), Some(Role::Viewer)));
        assert!(!Role::Admin.may_change(Some(Role::Member), Some(Role::Owner)));
        assert!(!Role::Admin.may_change(Some(Role::Owner), None));
        assert!(!Role::Member.may_change(None, Some(Role::Viewer)));
    }

    #[test]
    fn a_key_needs_both_the_role_and_the_scope() {
        let scopes = [Scope::LinksRead];
        assert_eq!(check(Role::Viewer, None, Action::LinksRead), Ok(()));
        assert_eq!(check(Role::Viewer, Some(&scopes), Action::LinksRead), Ok(()));
        assert_eq!(check(Role::Viewer, None, Action::LinksWrite), Err(Refusal::Role));
        assert_eq!(
            check(Role::Owner, Some(&scopes), Action::LinksWrite),
            Err(Refusal::Scope(Scope::LinksWrite))
        );
        assert_eq!(check_operator(true, None), Ok(()));
        assert_eq!(check_operator(true, Some(&scopes)), Err(Refusal::Scope(Scope::Ops)));
        assert_eq!(check_operator(false, Some(&[Scope::Ops])), Err(Refusal::Operator));
    }

    #[test]
    fn names_round_trip() {
        for scope in Scope::ALL {
            assert_eq!(Scope::from_name(scope.as_str()), Some(scope));
            assert_eq!(serde_json::to_value(scope).ok(), Some(scope.as_str().into()));
        }
        for role in Role::ALL {
            assert_eq!(Role::from_name(role.as_str()), Some(role));
        }
    }
}
