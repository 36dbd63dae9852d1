//! `tornello keys`: API keys are made, listed, renewed and revoked in their own file, beside a running server too.

use anyhow::bail;
use jiff::civil::{Date, Time};
use tornello_actors::clock::RealClock;
use tornello_actors::keys::{Keys, KeysError, Museums, NewKey, Role};
use tornello_actors::secret_file;
use tornello_engine::calendar;
use tornello_engine::ids::{Code, KeyId, MuseumId};
use tornello_engine::time::Timestamp;

use super::{Data, day};

const FILE: &str = "keys.db";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make a key; its text is printed once, and kept nowhere
    Create {
        #[command(flatten)]
        data: Data,
        /// Whose it is and where it is used
        #[arg(long)]
        name: String,
        #[arg(long, help = roles())]
        role: Role,
        /// all, or the numbers of museums that are registered, with commas between them
        #[arg(long, default_value = "all")]
        museums: Museums,
        /// The account for which it acts, of a reseller or an operator: theirs need one, and others have none
        #[arg(long)]
        account: Option<Code>,
        /// The first day, in Rome, on which it is not good any more
        #[arg(long, value_name = "DATE", value_parser = day)]
        expires: Option<Date>,
    },
    /// List all keys, without their secrets
    List {
        #[command(flatten)]
        data: Data,
    },
    /// Give a key another secret, as when others know the one that it has: that opens nothing any more, and what was held and sold with the key stays its own. The new text is
    /// printed once, and kept nowhere
    Renew {
        #[command(flatten)]
        data: Data,
        /// The 13 characters after tn_, or the whole key
        id: String,
        /// The first day, in Rome, on which it is not good any more, in the place of the one that it has
        #[arg(long, value_name = "DATE", value_parser = day)]
        expires: Option<Date>,
    },
    /// Revoke a key: it lets nobody in any more, until it is renewed
    Revoke {
        #[command(flatten)]
        data: Data,
        /// The 13 characters after tn_, or the whole key
        id: String,
    },
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    let now = RealClock::wall();
    match command {
        Command::Create { data, name, role, museums, account, expires } => {
            match (matches!(role, Role::Reseller | Role::Operator), account) {
                (true, None) => bail!("resellers and operators have an account of their own: name it with --account CODE"),
                (false, Some(_)) => {
                    bail!("--account: only a reseller's or an operator's key acts for an account, and this one is a {role} key: leave it out")
                }
                _ => {}
            }
            let expires_at = end_of(expires, now)?;
            let new = NewKey { name, role, museums, account, expires_at };
            new.check(now)?;
            // A first key may be made before the first start; one in a folder of a mistyped name is known to nobody.
            if !data.folder.join("journal.log").is_file() {
                super::aside(format_args!(
                    "there is no journal in {} yet: if the installation is elsewhere, say where with --data, and make the key there",
                    data.folder.display()
                ));
            }
            secret_file::make_folder(&data.folder)?;
            let keys = Keys::open(data.folder.join(FILE)).await?;
            are_registered(&keys, &new.museums).await?;
            let (text, key) = keys.create(new, now).await?;
            keys.close().await;
            super::aside(format_args!("{} key {} for {}; this is the only time that it is shown:", key.role, key.id, key.name));
            // A key that nobody has seen is of no use, and good all the same.
            super::say(text.expose())
                .map_err(|error| anyhow::anyhow!("{error}: the key was not shown; revoke it: tornello keys revoke {}", key.id))?;
        }
        Command::List { data } => {
            let keys = Keys::open(data.with(FILE)?.join(FILE)).await?;
            let date = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
            let state = |revoked: Option<Timestamp>, expires: Option<Timestamp>| match (revoked, expires) {
                (Some(at), _) => format!("revoked {at}"),
                (None, Some(at)) if at <= now => format!("expired {}", end_as_given(at)),
                (None, Some(at)) => format!("until {}", end_as_given(at)),
                (None, None) => "good".to_owned(),
            };
            let rows: Vec<_> = keys
                .list()
                .into_iter()
                .map(|key| {
                    let account = key.account.map_or_else(|| "-".to_owned(), |account| account.to_string());
                    let (state, used) = (state(key.revoked_at, key.expires_at), date(key.last_used_at));
                    [key.id.to_string(), key.role.to_string(), key.museums.to_string(), account, state, used, key.name]
                })
                .collect();
            keys.close().await;
            super::print_table(["id", "role", "museums", "account", "state", "last used", "name"], &rows)?;
        }
        Command::Renew { data, id, expires } => {
            let folder = data.with(FILE)?;
            let (id, expires_at) = (number_of(&id)?, end_of(expires, now)?);
            let keys = Keys::open(folder.join(FILE)).await?;
            let renewed = keys.renew(id, expires_at, now).await;
            keys.close().await;
            let (text, key) = match renewed {
                Err(KeysError::ExpiresInThePast) => bail!("key {id} has expired: say with --expires until when it is to be good"),
                renewed => renewed?,
            };
            super::aside(format_args!(
                "{} key {} for {} has another secret, and the one before opens nothing any more; this is the only time that it is shown:",
                key.role, key.id, key.name
            ));
            super::say(text.expose())
                .map_err(|error| anyhow::anyhow!("{error}: the key was not shown; renew it once more: tornello keys renew {}", key.id))?;
        }
        Command::Revoke { data, id } => {
            let folder = data.with(FILE)?;
            let id = number_of(&id)?;
            let keys = Keys::open(folder.join(FILE)).await?;
            let key = keys.revoke(id, now).await?;
            keys.close().await;
            super::say(format_args!("{} key {} ({}) is revoked", key.role, key.id, key.name))?;
        }
    }
    Ok(())
}

/// From when on a key is not good any more: a day to come.
fn end_of(expires: Option<Date>, now: Timestamp) -> anyhow::Result<Option<Timestamp>> {
    let expires_at = expires.map(|day| calendar::instant(day.to_datetime(Time::midnight())));
    if expires_at.is_some_and(|expires_at| expires_at <= now) {
        bail!("--expires: a day after today is expected, in Rome: it is the first on which the key is not good any more");
    }
    Ok(expires_at)
}

/// The end of a key as it was given: the first day in Rome on which it is not good any more. In UTC that begins on the day before.
fn end_as_given(end: Timestamp) -> String {
    let shown = calendar::local(end);
    if shown.time() == Time::midnight() { shown.date().to_string() } else { end.to_string() }
}

/// The number of a key that is named by its id, or by all of it.
fn number_of(key: &str) -> anyhow::Result<KeyId> {
    let id = public_part(key);
    let Ok(id) = id.parse() else { bail!("{id} is no id of a key: see `tornello keys list`") };
    Ok(id)
}

/// What is no secret of a key: whoever found one somewhere has the whole text.
fn public_part(key: &str) -> &str {
    let id = key.strip_prefix("tn_").unwrap_or(key);
    id.split_once('_').map_or(id, |(id, _)| id)
}

/// The roles by name, for the help.
fn roles() -> String {
    let [others @ .., last] = Role::ALL.map(Role::as_str);
    format!("{} or {last}", others.join(", "))
}

/// Asserts that a key is not made for a museum that there is not. Where no server has started yet nobody knows of any.
async fn are_registered(keys: &Keys, museums: &Museums) -> anyhow::Result<()> {
    let Museums::Only(wanted) = museums else { return Ok(()) };
    let registered = keys.museums().await?;
    let list = |museums: &[MuseumId]| museums.iter().map(|museum| museum.0.to_string()).collect::<Vec<_>>().join(", ");
    if registered.is_empty() {
        super::aside(format_args!("no museum is registered here yet: whether there will be {} is not known", list(wanted)));
        return Ok(());
    }
    let unknown: Vec<MuseumId> = wanted.iter().copied().filter(|museum| !registered.contains(museum)).collect();
    if !unknown.is_empty() {
        bail!("--museums: {} is not registered here; what is: {}", list(&unknown), list(&registered));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_key_is_shown_as_it_was_given() {
        let early = Timestamp::from_seconds(1_700_000_000);
        for day in ["2027-01-01", "2027-03-28", "2027-07-01", "2027-10-31"] {
            let end = end_of(Some(day.parse().unwrap()), early).unwrap().unwrap();
            assert_eq!(end_as_given(end), day);
            // One that is no midnight was not given as a day.
            assert_eq!(end_as_given(end.plus_seconds(60)), end.plus_seconds(60).to_string());
        }
    }

    #[test]
    fn of_a_whole_key_only_its_id_is_read_and_told() {
        for key in ["9jqna2vg67jax", "tn_9jqna2vg67jax", "tn_9jqna2vg67jax_0z47a2gmgfbc3p21xepj45j5"] {
            assert_eq!(public_part(key), "9jqna2vg67jax", "{key}");
        }
    }
}
