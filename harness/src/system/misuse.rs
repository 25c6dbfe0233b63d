//! Misuse: descriptions of a system that cannot be meant, refused in one line before anything runs.
//!
//! The builder's methods note what is wrong with what they are given; what only shows when the system
//! is complete is found here. A name that does not exist is told with the nearest one that does.

use std::collections::BTreeSet;

use super::System;
use super::ordinary::POSTGRES_HOST;
use crate::broker;
use crate::database::Probe;
use crate::history::CLIENT;
use crate::plan::topology::instance_name;
use crate::run::{Misuse, refuse};
use crate::spelling::nearest;

/// The most instances of a service; more than these are a slip of the pen, and every one is a host.
const INSTANCES_MAX: u32 = 64;

impl System {
    /// Whether the system can be run at all.
    pub(crate) fn refuse_misuse(&self) -> Result<(), Misuse> {
        let mut wrong = self.mistakes.clone();
        wrong.extend(self.wrong_names());
        wrong.extend(self.name_of_shared_server());
        wrong.extend(self.unknown_names());
        wrong.extend(self.wrong_instances());
        wrong.extend(self.wrong_settings());
        refuse(wrong)
    }

    /// Whether exploring it can show anything.
    pub(crate) fn refuse_untestable(&self) -> Result<(), Misuse> {
        self.refuse_misuse()?;
        let mut wrong = Vec::new();
        if self.hosts.is_empty() {
            wrong.push("it has no host to test: call `System::host`".to_owned());
        }
        if self.properties.iter().all(|own| own.id() == IMPLIED) {
            wrong.push("it promises nothing: call `System::property`".to_owned());
        }
        refuse(wrong)
    }

    fn wrong_names(&self) -> Vec<String> {
        let hosts = self.hosts.iter().map(|(name, _)| ("host", &**name));
        let databases = self.databases.iter().map(|own| ("database", own.name()));
        let servers = self.machine.names().map(|name| ("host", &**name));
        let strict = hosts
            .chain(databases)
            .chain(servers)
            .filter_map(|(kind, name)| {
                let is_plain = |c: char| c.is_alphanumeric() || "-_.".contains(c);
                let is_good = !name.is_empty() && name.chars().all(is_plain);
                let rule = "a name has letters, digits, `-`, `_` and `.`";
                (!is_good).then(|| format!("{kind} {name:?} cannot be named so: {rule}"))
            });
        let topics = self.topics.keys().map(|name| ("topic", name));
        let groups = self.groups.keys().map(|name| ("group", name));
        let loose = topics.chain(groups).filter_map(|(kind, name)| {
            let is_good = !name.trim().is_empty() && !name.contains(char::is_control);
            let rule = "a name is not empty and has no control characters";
            (!is_good).then(|| format!("{kind} {name:?} cannot be named so: {rule}"))
        });
        let variables = self.machine.variables.values().flatten();
        let variables = variables.filter_map(|(name, value)| {
            let is_good = !name.is_empty() && !name.contains('=');
            let is_good = is_good && !name.contains('\0') && !value.contains('\0');
            let rule =
                "a name is not empty and has no `=`, and neither it nor its value has a null byte";
            (!is_good).then(|| format!("variable {name:?} cannot be: {rule}"))
        });
        strict.chain(loose).chain(variables).collect()
    }

    fn name_of_shared_server(&self) -> Option<String> {
        let is_taken = self.may_share_a_server() && self.has_host(POSTGRES_HOST);
        is_taken.then(|| {
            format!(
                "host `{POSTGRES_HOST}` has the name of the server that databases are on which leave their engine open: \
                 name it otherwise, or declare databases by `sqlite` or `postgres`"
            )
        })
    }

    fn unknown_names(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let hosts: Vec<&str> = self.hosts.iter().map(|(name, _)| &**name).collect();
        let topics = self.all_topics();
        let topics: Vec<&str> = topics.keys().map(String::as_str).collect();
        for (name, group) in &self.groups {
            if group.topics.is_empty() {
                wrong.push(format!("group `{name}` subscribes to no topic"));
            }
            // Subjects of NATS need not be declared.
            let has_subjects = !self.machine.brokers.is_empty();
            for topic in group.topics.iter().filter(|_| !has_subjects) {
                let what = format!("group `{name}` subscribes to topic `{topic}`");
                wrong.extend(unknown(&what, topic, &topics));
            }
        }
        let with_client: Vec<&str> = hosts.iter().copied().chain([CLIENT]).collect();
        for host in self.struck.iter().flatten() {
            wrong.extend(unknown(
                &format!("`strike` names host `{host}`"),
                host,
                &with_client,
            ));
        }
        for service in self.machine.variables.keys() {
            let what = format!("`variable` names host `{service}`");
            wrong.extend(unknown(&what, service, &hosts));
        }
        for host in &self.background {
            wrong.extend(unknown(
                &format!("`background` names host `{host}`"),
                host,
                &hosts,
            ));
        }
        let consumers: BTreeSet<&str> = self.groups.keys().map(String::as_str).collect();
        let consumers: Vec<&str> = consumers.into_iter().chain(hosts).collect();
        for database in &self.databases {
            for consumer in database.probes.iter().filter_map(Probe::shows) {
                let name = database.name();
                let what = format!("a probe of database `{name}` shows effects by `{consumer}`");
                wrong.extend(unknown(&what, consumer, &consumers));
            }
        }
        wrong
    }

    fn wrong_instances(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let hosts: Vec<&str> = self.hosts.iter().map(|(name, _)| &**name).collect();
        for (service, range) in &self.services {
            let what = format!("`instances` names host `{service}`");
            wrong.extend(unknown(&what, service, &hosts));
            let (least, most) = (*range.start(), *range.end());
            if least == 0 || most < least || most > INSTANCES_MAX {
                wrong.push(format!(
                    "host `{service}` cannot run {least} to {most} times: give a range such as 1..=3"
                ));
            }
            let names = (2..=most).map(|number| instance_name(service, number));
            let taken = names.filter(|name| hosts.contains(&&**name));
            wrong.extend(
                taken.map(|name| {
                    format!("host `{name}` has the name of an instance of `{service}`")
                }),
            );
        }
        wrong
    }

    fn wrong_settings(&self) -> Vec<String> {
        let settings = &self.settings;
        let not_zero = [
            ("quiet", settings.quiet),
            ("liveness_bound", settings.liveness_bound),
            ("operation_timeout", settings.operation_timeout),
            ("patience", settings.patience),
        ];
        let zero = not_zero.into_iter().filter(|(_, value)| value.is_zero());
        let mut wrong: Vec<String> = zero
            .map(|(name, _)| format!("the setting `{name}` is zero"))
            .collect();
        if settings.latency_min > settings.latency_max {
            let (least, most) = (settings.latency_min, settings.latency_max);
            wrong.push(format!(
                "the setting `latency_min` ({least:?}) is above `latency_max` ({most:?})"
            ));
        }
        wrong
    }

    /// Whether a new host can have this name; notes it otherwise.
    pub(super) fn note_host(&mut self, name: &str) {
        if [broker::HOST, CLIENT].contains(&name) {
            self.mistakes.push(format!(
                "host `{name}` has the name of one of the harness' own"
            ));
        } else if self.has_host(name) {
            self.declared_twice("host", name);
        }
    }

    /// Whether a service, or a server, has this name in the network.
    fn has_host(&self, name: &str) -> bool {
        let services = self.hosts.iter().map(|(own, _)| own);
        services
            .chain(self.machine.names())
            .any(|own| **own == *name)
    }

    pub(super) fn declared_twice(&mut self, kind: &str, name: &str) {
        self.mistakes
            .push(format!("{kind} `{name}` is declared twice"));
    }
}

/// The property that every system has unless it says otherwise.
pub(super) const IMPLIED: &str = crate::checker::OPERATIONS;

/// What to say of a name that is none of those that exist.
fn unknown(what: &str, name: &str, known: &[&str]) -> Option<String> {
    if known.contains(&name) {
        return None;
    }
    Some(match nearest(name, known.iter().copied()) {
        Some(near) => format!("{what}, which does not exist; is `{near}` meant?"),
        None => format!(
            "{what}, which does not exist; there is: {}",
            known.join(", ")
        ),
    })
}
