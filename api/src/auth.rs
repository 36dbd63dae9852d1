//! Who calls, and what they may. A key carries a role and its museums; a role opens scopes; every handler names the one scope that it needs, in its code and in
//! the published contract, and a test holds the two against each other for every role.

use std::future::{Ready, ready};
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use tornello_actors::keys::{Key, Role};
use tornello_engine::channel::Channel;
use tornello_engine::ids::{Code, KeyId, MuseumId};

use crate::problem::Problem;

/// What a role may be allowed to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Museums, plans, tariffs, slots, availability, occupancy.
    Read,
    /// Hold places, confirm, extend, shrink and release one's own holds; sell at once on one's own account; read and cancel one's own sales.
    Book,
    /// Sell at once for money, and serve the holds and sales of everybody.
    Desk,
    /// Admit and let out.
    Gate,
    /// Send readings.
    Sense,
    /// Ask for group visits: draft, revise, send, accept and cancel quotes; an operator its own, the office everybody's.
    Quote,
    /// Pay money back, export transfers and note what became of them, reconcile, keep disputes, issue vouchers.
    Settle,
    /// Look into suspected fraud: decide cases, draft rules, register models.
    Investigate,
    /// Read what is planned with: forecasts, attendance, presence, rosters, what-ifs.
    Plan,
    /// Change plans, tariffs, ceilings, capacities and quotas; close and reopen slots; block tickets.
    Manage,
    /// Register museums, erase people.
    Administer,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 11] = [
        Self::Read,
        Self::Book,
        Self::Desk,
        Self::Gate,
        Self::Sense,
        Self::Quote,
        Self::Settle,
        Self::Investigate,
        Self::Plan,
        Self::Manage,
        Self::Administer,
    ];

    /// The name in the published contract.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Book => "book",
            Self::Desk => "desk",
            Self::Gate => "gate",
            Self::Sense => "sense",
            Self::Quote => "quote",
            Self::Settle => "settle",
            Self::Investigate => "investigate",
            Self::Plan => "plan",
            Self::Manage => "manage",
            Self::Administer => "administer",
        }
    }

    /// The roles that have it.
    pub fn roles(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.is_open_to(*role))
    }

    /// Whether a role has this scope.
    #[must_use]
    pub const fn is_open_to(self, role: Role) -> bool {
        use Role::{Admin, Analyst, BoxOffice, Gate, GroupOffice, Kiosk, Manager, Ministry, Operator, Reseller, Sensor, Web};
        match self {
            Self::Read => !matches!(role, Sensor),
            Self::Book => matches!(role, Web | Kiosk | BoxOffice | GroupOffice | Reseller | Operator | Manager | Admin),
            Self::Desk => matches!(role, BoxOffice | GroupOffice | Manager | Admin),
            Self::Gate => matches!(role, Gate | BoxOffice | Manager | Admin),
            Self::Sense => matches!(role, Sensor | Admin),
            Self::Quote => matches!(role, Operator | GroupOffice | Manager | Admin),
            Self::Settle => matches!(role, GroupOffice | Manager | Admin),
            Self::Investigate => matches!(role, Analyst | Manager | Admin),
            Self::Plan => matches!(role, GroupOffice | Manager | Ministry | Admin),
            Self::Manage => matches!(role, Manager | Admin),
            Self::Administer => matches!(role, Admin),
        }
    }
}

/// Which roles have which scope, as a table in Markdown: what the contract and the README show.
#[must_use]
pub fn table() -> String {
    let mut table = "| scope | roles |\n|---|---|\n".to_owned();
    for scope in Scope::ALL {
        let roles: Vec<String> = scope.roles().map(|role| format!("`{role}`")).collect();
        table.push_str(&format!("| `{}` | {} |\n", scope.name(), roles.join(", ")));
    }
    table
}

/// Through which channel each role that sells does so, in Markdown: what the contract and the README say.
#[must_use]
pub fn channels() -> String {
    let of = |channel: Channel| {
        let roles: Vec<String> = Scope::Book.roles().filter(|role| channel_of(*role) == channel).map(|role| format!("`{role}`")).collect();
        format!("`{}` with a key of {}", channel.name(), roles.join(" or "))
    };
    Channel::ALL.map(of).join(", ")
}

/// The channel of a role. Administrators set up and look after what others sell, so they have no channel of their own: what they hold and sell is the web's.
const fn channel_of(role: Role) -> Channel {
    match role {
        Role::Kiosk => Channel::Kiosk,
        Role::BoxOffice | Role::Gate | Role::Manager => Channel::BoxOffice,
        Role::GroupOffice | Role::Operator => Channel::Group,
        Role::Reseller => Channel::Reseller,
        Role::Web | Role::Sensor | Role::Analyst | Role::Ministry | Role::Admin => Channel::Web,
    }
}

/// The caller of a request, known by its key.
#[derive(Debug, Clone)]
pub struct Caller(pub Arc<Key>);

impl Caller {
    /// Who calls in tests, with the key 9, for all museums.
    #[cfg(test)]
    pub(crate) fn sample(role: Role) -> Self {
        use tornello_actors::keys::Museums;
        use tornello_engine::time::Timestamp;

        Self(Arc::new(Key {
            id: KeyId(9),
            name: "nine".to_owned(),
            role,
            museums: Museums::All,
            account: None,
            created_at: Timestamp::from_seconds(0),
            expires_at: None,
            revoked_at: None,
            last_used_at: None,
        }))
    }

    /// Asserts that the caller has a scope.
    pub fn may(&self, scope: Scope) -> Result<(), Problem> {
        if scope.is_open_to(self.0.role) { Ok(()) } else { Err(Problem::forbidden(scope)) }
    }

    /// Asserts that the caller has a scope and the museum is one of its own. Another museum's things do not exist for it.
    pub fn may_at(&self, scope: Scope, museum: MuseumId) -> Result<(), Problem> {
        self.may(scope)?;
        if self.0.museums.allows(museum) { Ok(()) } else { Err(Problem::not_found()) }
    }

    /// The caller's number.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.0.id
    }

    /// Whose holds and sales the caller may touch: its own, or with desk rights everybody's.
    #[must_use]
    pub fn owner(&self) -> Option<KeyId> {
        if Scope::Desk.is_open_to(self.0.role) { None } else { Some(self.0.id) }
    }

    /// Whether whoever asks is seen by somebody: it is asked with desk rights.
    #[must_use]
    pub fn is_desk(&self) -> bool {
        self.owner().is_none()
    }

    /// The account that a caller asks for quotes for: an operator's own; none: those of all, as the office does.
    ///
    /// # Errors
    /// For an operator whose key names none.
    pub fn acts_for(&self) -> Result<Option<Code>, Problem> {
        match (self.0.role, self.0.account) {
            (Role::Operator, None) => Err(Problem::forbidden(Scope::Quote).detail("The key names no account: make one with --account.")),
            (Role::Operator, account) => Ok(account),
            _ => Ok(None),
        }
    }

    /// The account of an operator's key; none for all others.
    #[must_use]
    pub fn account_of_operator(&self) -> Option<Code> {
        self.0.account.filter(|_| self.0.role == Role::Operator)
    }

    /// The channel through which the caller sells, or looks at availability.
    #[must_use]
    pub fn channel(&self) -> Channel {
        channel_of(self.0.role)
    }
}

/// The middleware has looked at the key; a request without one is nobody's.
impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(Problem::unauthorized))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_shows_who_has_which_scope() {
        let (guide, table) = (include_str!("../../README.md"), table());
        assert!(guide.contains(&table), "README.md should have this table:\n{table}");
    }

    #[test]
    fn the_guide_says_through_which_channel_each_key_sells() {
        let (guide, channels) = (include_str!("../../README.md"), channels());
        assert!(guide.contains(&channels), "README.md should say:\n{channels}");
    }
}
