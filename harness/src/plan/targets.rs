//! Targets: what a system offers to be struck, as a survey found it.

use std::collections::{BTreeMap, BTreeSet};

use super::incident::Restarted;
use super::strike::Call;
use super::topology::{Services, instance_names, service_of};

/// What there is to be struck.
#[derive(Clone, Debug, Default)]
pub struct Targets {
    /// Hosts whose process may crash or pause, and whose calls may be struck.
    pub hosts: Vec<String>,
    /// Hosts that look at their system clock.
    pub clocks: Vec<String>,
    /// Restarts that are of more than one host.
    pub restarts: Vec<Restarted>,
    /// Which host calls which of its ports; the client's calls are struck like any other's.
    pub calls: Vec<(String, Call)>,
    /// Pairs of hosts that talk to each other.
    pub links: Vec<(String, String)>,
    /// Consumer groups.
    pub groups: Vec<String>,
    /// Third parties.
    pub providers: Vec<String>,
    /// Databases, by the names that the system has for them.
    pub databases: Vec<String>,
    /// Hosts of PostgreSQL servers.
    pub database_servers: Vec<String>,
}

impl Targets {
    /// Forgets every host that `keep` does not want, and every link that touches none of the others.
    pub(crate) fn keep_only(&mut self, keep: impl Fn(&str) -> bool) {
        let all = self.hosts.iter().all(|host| keep(host));
        self.restarts.retain(|of| match of {
            Restarted::Host(name) | Restarted::Service(name) => keep(name),
            Restarted::Everything => all,
        });
        self.hosts.retain(|host| keep(host));
        self.clocks.retain(|host| keep(host));
        self.calls.retain(|(host, _)| keep(host));
        self.links.retain(|(a, b)| keep(a) || keep(b));
    }

    /// Adds what another survey found.
    pub(crate) fn extend(&mut self, other: Targets) {
        fn join<T: Ord>(own: &mut Vec<T>, other: Vec<T>) {
            let all: BTreeSet<T> = own.drain(..).chain(other).collect();
            own.extend(all);
        }
        join(&mut self.hosts, other.hosts);
        join(&mut self.clocks, other.clocks);
        join(&mut self.restarts, other.restarts);
        join(&mut self.calls, other.calls);
        join(&mut self.links, other.links);
        join(&mut self.groups, other.groups);
        join(&mut self.providers, other.providers);
        join(&mut self.databases, other.databases);
        join(&mut self.database_servers, other.database_servers);
    }

    /// Grants every instance of a service what one of them was seen to do: which of them gets a
    /// partition, or a request, differs from run to run.
    pub(crate) fn level(&mut self, services: &Services) {
        let alike = |host: &String| match service_of(services, host) {
            Some(service) => instance_names(service, *services[service].end()).collect(),
            None => vec![host.clone()],
        };
        let clocks = self.clocks.iter().flat_map(alike);
        self.clocks = clocks.collect::<BTreeSet<_>>().into_iter().collect();
        let calls = self.calls.iter();
        let calls = calls.flat_map(|(host, call)| alike(host).into_iter().map(|own| (own, *call)));
        self.calls = calls.collect::<BTreeSet<_>>().into_iter().collect();
        let links = self.links.iter().flat_map(|(a, b)| {
            let ends = alike(b);
            let pairs = alike(a).into_iter();
            pairs.flat_map(move |a| ends.clone().into_iter().map(move |b| (a.clone(), b)))
        });
        let links = links.filter(|(a, b)| a != b);
        let links = links.map(|(a, b)| if a < b { (a, b) } else { (b, a) });
        self.links = links.collect::<BTreeSet<_>>().into_iter().collect();
    }

    /// Grants that services are restarted, one by one or all together.
    pub(crate) fn allow_restarts(&mut self, services: &Services) {
        let rolling = services.keys().cloned().map(Restarted::Service);
        self.restarts = rolling.chain([Restarted::Everything]).collect();
    }

    /// What there is to be struck where so many instances run.
    pub(super) fn within(&self, services: &Services, instances: &BTreeMap<String, u32>) -> Targets {
        let runs = |host: &str| match service_of(services, host) {
            Some(service) => {
                let most = instances.get(service).copied().unwrap_or(1);
                instance_names(service, most).any(|own| own == host)
            }
            None => true,
        };
        let mut own = self.clone();
        own.hosts.retain(|host| runs(host));
        own.clocks.retain(|host| runs(host));
        own.calls.retain(|(host, _)| runs(host));
        own.links.retain(|(a, b)| runs(a) && runs(b));
        own
    }

    /// The hosts that make this call.
    pub(super) fn making(&self, call: Call) -> Vec<String> {
        let calls = self.calls.iter().filter(|(_, made)| *made == call);
        calls.map(|(host, _)| host.clone()).collect()
    }

    /// Whether a host was seen to talk to a PostgreSQL server.
    pub(super) fn talks_to_database_server(&self, host: &str) -> bool {
        let of_both = |server: &String, (a, b): &(String, String)| {
            (a == host && b == server) || (b == host && a == server)
        };
        let mut servers = self.database_servers.iter();
        servers.any(|server| self.links.iter().any(|link| of_both(server, link)))
    }
}
