//! Places kept by Redis, as one would who wants it quick and right: one script for each request, known to the server by its digest; all requests of a worker
//! travel on one connection, as many at once as there are.

use ::redis::aio::MultiplexedConnection;
use ::redis::{AsyncCommands, Script};
use anyhow::Context;

use super::{Asked, Became};

/// Keys: the answer, the slot, the hold. Arguments: digest, hold, people. As long as an answer is remembered: a day.
const HOLD: &str = "
local known = redis.call('HMGET', KEYS[1], 'digest', 'hold', 'people')
if known[1] then
    if known[1] == ARGV[1] then return {0, known[2], known[3]} end
    return {2, '', '0'}
end
local place = redis.call('HMGET', KEYS[2], 'capacity', 'taken')
if not place[1] or tonumber(place[2]) + tonumber(ARGV[3]) > tonumber(place[1]) then return {1, '', '0'} end
redis.call('HINCRBY', KEYS[2], 'taken', ARGV[3])
redis.call('HSET', KEYS[3], 'slot', KEYS[2], 'people', ARGV[3], 'expires_at', redis.call('TIME')[1] + 900)
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'hold', ARGV[2], 'people', ARGV[3])
redis.call('EXPIRE', KEYS[1], 86400)
return {0, ARGV[2], ARGV[3]}
";

/// Keys: the answer, the hold. Arguments: digest, hold, settlement.
const SELL: &str = "
local known = redis.call('HMGET', KEYS[1], 'digest', 'hold', 'people')
if known[1] then
    if known[1] == ARGV[1] then return {0, known[2], known[3]} end
    return {2, '', '0'}
end
local held = redis.call('HMGET', KEYS[2], 'slot', 'people', 'expires_at', 'settlement')
if not held[1] or held[4] or tonumber(held[3]) <= tonumber(redis.call('TIME')[1]) then return {1, '', '0'} end
redis.call('HSET', KEYS[2], 'settlement', ARGV[3])
redis.call('HINCRBY', held[1], 'sold', held[2])
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'hold', ARGV[2], 'people', held[2])
redis.call('EXPIRE', KEYS[1], 86400)
return {0, ARGV[2], held[2]}
";

/// One worker's connection, and what it asks.
pub struct Scripts {
    connection: MultiplexedConnection,
    hold: Script,
    sell: Script,
}

impl Scripts {
    pub async fn connect(socket: &str) -> anyhow::Result<Self> {
        let client = ::redis::Client::open(format!("redis+unix://{socket}")).context("the address of Redis")?;
        let connection = client.get_multiplexed_async_connection().await.context("cannot reach Redis")?;
        Ok(Self { connection, hold: Script::new(HOLD), sell: Script::new(SELL) })
    }

    pub async fn ask(&self, asked: &Asked<'_>) -> anyhow::Result<Became> {
        let mut connection = self.connection.clone();
        let (answer, held) = (format!("a:{}", asked.key), format!("h:{}", asked.hold));
        let (became, hold, people): (i64, String, u32) = if asked.settlement.is_empty() {
            let mut call = self.hold.key(answer);
            call.key(format!("s:{}", asked.slot)).key(held).arg(asked.digest).arg(asked.hold).arg(asked.people);
            call.invoke_async(&mut connection).await?
        } else {
            let mut call = self.sell.key(answer);
            call.key(held).arg(asked.digest).arg(asked.hold).arg(asked.settlement);
            call.invoke_async(&mut connection).await?
        };
        Ok(match became {
            0 => Became::Done { hold, people },
            1 => Became::Refused("not_enough_places"),
            _ => Became::Refused("idempotency_key_reused"),
        })
    }

    pub async fn open(&self, slot: &str, capacity: i32) -> anyhow::Result<()> {
        let mut connection = self.connection.clone();
        let fields = [("capacity", capacity), ("taken", 0), ("sold", 0)];
        Ok(connection.hset_multiple(format!("s:{slot}"), &fields).await?)
    }

    pub async fn sold(&self, slot: &str) -> anyhow::Result<i64> {
        let mut connection = self.connection.clone();
        let sold: Option<i64> = connection.hget(format!("s:{slot}"), "sold").await?;
        Ok(sold.unwrap_or_default())
    }
}
