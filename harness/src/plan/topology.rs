//! The topology: how many instances of each service run, and what their hosts are called.
//!
//! The number is part of a plan, because a mistake may need two instances to show, and a story is
//! easier to read with one. Which of them consumes what is the broker's affair.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use proptest::prelude::*;

/// The host at which operations are carried out. It belongs to nobody's system: what it publishes is
/// asked for, and announces no state.
pub const CLIENT: &str = "client";

/// How many instances of a service may run, by the service's name.
pub type Services = BTreeMap<String, RangeInclusive<u32>>;

/// What the host of an instance is called: the first has the service's name, the second of `order`
/// is `order-2`.
pub(crate) fn instance_name(service: &str, number: u32) -> String {
    match number {
        1 => service.to_owned(),
        _ => format!("{service}-{number}"),
    }
}

/// The hosts of a service that runs so many times.
pub(crate) fn instance_names(service: &str, instances: u32) -> impl Iterator<Item = String> {
    (1..=instances).map(move |number| instance_name(service, number))
}

/// The service that a host is an instance of, if it is one of these.
pub(crate) fn service_of<'s>(services: &'s Services, host: &str) -> Option<&'s str> {
    let mut own = services.iter();
    own.find(|(service, range)| instance_names(service, *range.end()).any(|name| name == host))
        .map(|(service, _)| &**service)
}

/// Numbers of instances, for every service that may run more than once. Fewer are likelier: what two
/// do to one another, three seldom do better, and each costs time.
pub(super) fn instances(services: &Services) -> BoxedStrategy<BTreeMap<String, u32>> {
    let drawn = |(service, range): (&String, &RangeInclusive<u32>)| {
        let instances = (range.clone(), range.clone()).prop_map(|(one, other)| one.min(other));
        (Just(service.clone()), instances).boxed()
    };
    let several = services.iter().filter(|(_, range)| *range.end() > 1);
    several
        .map(drawn)
        .collect::<Vec<_>>()
        .prop_map(|drawn| {
            let several = drawn.into_iter().filter(|(_, instances)| *instances > 1);
            several.collect()
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_instance_of_one_service() {
        let services = Services::from([("order".to_owned(), 1..=2), ("relay".to_owned(), 1..=1)]);
        for (host, service) in [
            ("order", Some("order")),
            ("order-2", Some("order")),
            ("order-3", None),
            ("relay", Some("relay")),
            ("broker", None),
        ] {
            assert_eq!(service_of(&services, host), service, "{host}");
        }
    }
}
