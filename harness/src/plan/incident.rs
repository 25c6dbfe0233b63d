//! Incidents: what befalls machines, links, databases, the broker or a third party.
//!
//! What hits a single call is a strike.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::fault::Told;
use super::schedule::FaultKind;

/// What befalls machines, links, databases, the broker or a third party. Durations are virtual milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Incident {
    /// The host loses its memory and its connections, and starts again after `down_ms`.
    Crash {
        /// The host.
        host: String,
        /// How long it stays down.
        down_ms: u64,
    },
    /// The host's computer is gone in silence, and back after `down_ms`: it loses its memory as by a crash, but no peer
    /// gets a reset, so that they notice by their own timeouts. What a server holds for it, such as an open transaction
    /// with its locks, it goes on holding.
    MachineLoss {
        /// The host.
        host: String,
        /// How long it stays away.
        down_ms: u64,
    },
    /// Hosts are told to stop ([`Machine::terminated`](crate::Machine::terminated)), stop in good order, and start
    /// again `down_ms` after they have stopped.
    Restart {
        /// Which hosts.
        of: Restarted,
        /// How long each stays down.
        down_ms: u64,
    },
    /// The host stands still for `for_ms` and then goes on as if nothing had happened.
    Pause {
        /// The host.
        host: String,
        /// How long it lasts.
        for_ms: u64,
    },
    /// The host's system clock is wrong: it jumps at the start, and back at the end. What only measures
    /// how much time passes (`Instant`, timers) is not.
    ClockSkew {
        /// The host.
        host: String,
        /// How far it is ahead, in milliseconds; behind, if negative.
        ahead_ms: i64,
        /// How long it lasts.
        for_ms: u64,
    },
    /// No segment passes between two hosts.
    Partition {
        /// One end.
        a: String,
        /// The other end.
        b: String,
        /// How long it lasts.
        for_ms: u64,
    },
    /// No segment passes from one host to another; the way back is open.
    OneWayPartition {
        /// The sending host.
        from: String,
        /// The receiving host.
        to: String,
        /// How long it lasts.
        for_ms: u64,
    },
    /// Every segment between two hosts takes `latency_ms`.
    Latency {
        /// One end.
        a: String,
        /// The other end.
        b: String,
        /// How long every segment takes.
        latency_ms: u64,
        /// How long it lasts.
        for_ms: u64,
    },
    /// All TCP connections between two hosts are reset at one moment; both ends are told.
    ConnectionReset {
        /// One end.
        a: String,
        /// The other end.
        b: String,
    },
    /// A PostgreSQL server dies and starts again after `down_ms`: connections are reset, open transactions are rolled
    /// back, and what was committed stays.
    DatabaseRestart {
        /// The server's host.
        server: String,
        /// How long it stays down.
        down_ms: u64,
    },
    /// There is no room for what a database has to write. On SQLite no file of it can grow (`SQLITE_FULL`); on PostgreSQL
    /// whatever may write, and the commit of a transaction that has, fails with 53100.
    DiskFull {
        /// The database.
        database: String,
        /// How long it lasts.
        for_ms: u64,
    },
    /// A PostgreSQL server takes no new connections (53300); those that there are go on.
    ConnectionsUsedUp {
        /// The server's host.
        server: String,
        /// How long it lasts.
        for_ms: u64,
    },
    /// The broker's process dies and starts again after `for_ms`.
    BrokerOutage {
        /// How long it lasts.
        for_ms: u64,
    },
    /// The broker refuses every publish, or those that are too many.
    CapacityLimit {
        /// How long it lasts.
        for_ms: u64,
        /// How many publishes it takes in each minute of the run; none unless given.
        #[serde(default, skip_serializing_if = "is_none")]
        per_minute: u32,
    },
    /// A consumer group gets a new generation. Kafka only: JetStream has no generations.
    Rebalance {
        /// The consumer group.
        group: String,
    },
    /// A third party cannot be reached.
    ExternalOutage {
        /// The third party.
        provider: String,
        /// How long it lasts.
        for_ms: u64,
    },
}

/// Which hosts are restarted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restarted {
    /// One.
    Host(String),
    /// Every instance of a service, one after the other: each is told once the one before has started
    /// again, as when a new version is rolled out.
    Service(String),
    /// All of the system's, at the same time.
    Everything,
}

/// Something of a system that an incident names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named<'a> {
    /// A host that services run on.
    Host(&'a str),
    /// All instances of a service.
    Service(&'a str),
    /// Two hosts, which may be the client and servers too.
    Link(&'a str, &'a str),
    /// The host of a PostgreSQL server.
    DatabaseServer(&'a str),
    /// A database.
    Database(&'a str),
    /// A consumer group.
    Group(&'a str),
}

/// What becomes of a host in the middle of its own call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Befallen {
    /// Its process dies.
    Dies,
    /// Its computer is gone.
    IsLost,
    /// It stands still.
    StandsStill {
        /// How long, in virtual milliseconds.
        for_ms: u64,
    },
    /// It is told to stop.
    IsToldToStop,
}

fn is_none(per_minute: &u32) -> bool {
    *per_minute == 0
}

impl Incident {
    /// The broker refuses every publish for so long.
    pub fn capacity_used_up(for_ms: u64) -> Self {
        let per_minute = 0;
        Incident::CapacityLimit { for_ms, per_minute }
    }

    pub(super) fn told(&self) -> Told {
        match self {
            Incident::Crash { host, down_ms: ms } => {
                let text = format!("crash {host}, down for {ms} ms");
                (FaultKind::Crash, *ms, text)
            }
            Incident::MachineLoss { host, down_ms: ms } => {
                let text = format!("machine of {host} lost for {ms} ms");
                (FaultKind::MachineLoss, *ms, text)
            }
            Incident::ConnectionReset { a, b } => {
                let text = format!("connections {a} <-> {b} reset");
                (FaultKind::ConnectionReset, 0, text)
            }
            Incident::DatabaseRestart {
                server,
                down_ms: ms,
            } => {
                let text = format!("database server {server} restarts, down for {ms} ms");
                (FaultKind::DatabaseRestart, *ms, text)
            }
            Incident::DiskFull {
                database,
                for_ms: ms,
            } => {
                let text = format!("disk of database {database} full for {ms} ms");
                (FaultKind::DiskFull, *ms, text)
            }
            Incident::ConnectionsUsedUp { server, for_ms: ms } => {
                let text = format!("connections of {server} used up for {ms} ms");
                (FaultKind::ConnectionsUsedUp, *ms, text)
            }
            Incident::Restart { of, down_ms: ms } => {
                (FaultKind::Restart, *ms, format!("{of} down for {ms} ms"))
            }
            Incident::Pause { host, for_ms: ms } => {
                (FaultKind::Pause, *ms, format!("pause {host} for {ms} ms"))
            }
            Incident::ClockSkew {
                host,
                ahead_ms,
                for_ms: ms,
            } => {
                let (off, side) = (ahead_ms.unsigned_abs(), ["ahead", "behind"]);
                let side = side[usize::from(*ahead_ms < 0)];
                let text = format!("clock of {host} {off} ms {side} for {ms} ms");
                (FaultKind::ClockSkew, *ms, text)
            }
            Incident::Partition { a, b, for_ms: ms } => {
                let text = format!("partition {a} <-/-> {b} for {ms} ms");
                (FaultKind::Partition, *ms, text)
            }
            Incident::OneWayPartition {
                from,
                to,
                for_ms: ms,
            } => {
                let text = format!("partition {from} -/-> {to} for {ms} ms");
                (FaultKind::OneWayPartition, *ms, text)
            }
            Incident::Latency {
                a,
                b,
                latency_ms,
                for_ms: ms,
            } => {
                let text = format!("latency {a} <-> {b} of {latency_ms} ms for {ms} ms");
                (FaultKind::Latency, *ms, text)
            }
            Incident::BrokerOutage { for_ms: ms } => (
                FaultKind::BrokerOutage,
                *ms,
                format!("broker outage for {ms} ms"),
            ),
            Incident::CapacityLimit {
                for_ms: ms,
                per_minute: 0,
            } => (
                FaultKind::CapacityLimit,
                *ms,
                format!("capacity limit for {ms} ms"),
            ),
            Incident::CapacityLimit {
                for_ms: ms,
                per_minute,
            } => (
                FaultKind::CapacityLimit,
                *ms,
                format!("capacity limit of {per_minute} a minute for {ms} ms"),
            ),
            Incident::Rebalance { group } => {
                (FaultKind::Rebalance, 0, format!("rebalance {group}"))
            }
            Incident::ExternalOutage {
                provider,
                for_ms: ms,
            } => {
                let text = format!("{provider} unreachable for {ms} ms");
                (FaultKind::ExternalOutage, *ms, text)
            }
        }
    }

    /// How long it lasts once it has begun, in virtual milliseconds.
    pub(crate) fn duration_ms(&self) -> u64 {
        self.told().1
    }

    /// What of the system it names, if it names anything.
    pub(super) fn names(&self) -> Option<Named<'_>> {
        match self {
            Incident::Crash { host, .. }
            | Incident::MachineLoss { host, .. }
            | Incident::Pause { host, .. }
            | Incident::ClockSkew { host, .. }
            | Incident::Restart {
                of: Restarted::Host(host),
                ..
            } => Some(Named::Host(host)),
            Incident::Partition { a, b, .. }
            | Incident::Latency { a, b, .. }
            | Incident::ConnectionReset { a, b } => Some(Named::Link(a, b)),
            Incident::OneWayPartition { from, to, .. } => Some(Named::Link(from, to)),
            Incident::Restart {
                of: Restarted::Service(service),
                ..
            } => Some(Named::Service(service)),
            Incident::DatabaseRestart { server, .. }
            | Incident::ConnectionsUsedUp { server, .. } => Some(Named::DatabaseServer(server)),
            Incident::DiskFull { database, .. } => Some(Named::Database(database)),
            Incident::Rebalance { group } => Some(Named::Group(group)),
            Incident::Restart {
                of: Restarted::Everything,
                ..
            }
            | Incident::BrokerOutage { .. }
            | Incident::CapacityLimit { .. }
            | Incident::ExternalOutage { .. } => None,
        }
    }

    /// The hosts that it befalls, where it befalls certain ones.
    pub(crate) fn hosts(&self) -> Vec<&str> {
        match self.names() {
            Some(Named::Host(host)) => vec![host],
            Some(Named::Link(a, b)) => vec![a, b],
            Some(
                Named::Service(_) | Named::DatabaseServer(_) | Named::Database(_) | Named::Group(_),
            )
            | None => Vec::new(),
        }
    }

    /// What becomes at once of the host whose call sets it off, where it befalls that host; all else is the nemesis' to do.
    pub(crate) fn befalls(&self, caller: &str) -> Option<Befallen> {
        let befallen = match self {
            Incident::Crash { .. } => Befallen::Dies,
            Incident::MachineLoss { .. } => Befallen::IsLost,
            Incident::Pause { for_ms, .. } => Befallen::StandsStill { for_ms: *for_ms },
            Incident::Restart { .. } => Befallen::IsToldToStop,
            Incident::ClockSkew { .. }
            | Incident::Partition { .. }
            | Incident::OneWayPartition { .. }
            | Incident::Latency { .. }
            | Incident::ConnectionReset { .. }
            | Incident::DatabaseRestart { .. }
            | Incident::DiskFull { .. }
            | Incident::ConnectionsUsedUp { .. }
            | Incident::BrokerOutage { .. }
            | Incident::CapacityLimit { .. }
            | Incident::Rebalance { .. }
            | Incident::ExternalOutage { .. } => return None,
        };
        matches!(self.names(), Some(Named::Host(host)) if host == caller).then_some(befallen)
    }

    pub(super) fn hosts_mut(&mut self) -> Vec<&mut String> {
        match self {
            Incident::Crash { host, .. }
            | Incident::MachineLoss { host, .. }
            | Incident::Pause { host, .. }
            | Incident::ClockSkew { host, .. }
            | Incident::Restart {
                of: Restarted::Host(host),
                ..
            } => vec![host],
            Incident::Partition { a, b, .. }
            | Incident::Latency { a, b, .. }
            | Incident::ConnectionReset { a, b } => vec![a, b],
            Incident::OneWayPartition { from, to, .. } => vec![from, to],
            Incident::Restart { .. }
            | Incident::DatabaseRestart { .. }
            | Incident::DiskFull { .. }
            | Incident::ConnectionsUsedUp { .. }
            | Incident::BrokerOutage { .. }
            | Incident::CapacityLimit { .. }
            | Incident::Rebalance { .. }
            | Incident::ExternalOutage { .. } => Vec::new(),
        }
    }
}

impl fmt::Display for Incident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told().2)
    }
}

impl fmt::Display for Restarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Restarted::Host(host) => write!(f, "restart {host},"),
            Restarted::Service(service) => write!(f, "rolling restart of {service}, each"),
            Restarted::Everything => f.write_str("restart everything at once,"),
        }
    }
}
