//! The place of a real server: where it is, and as whom the library asks it.

use std::path::PathBuf;

use crate::Error;

/// Where the real server is, and as whom the library asks it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) at: At,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
}

/// Where a server listens.
#[derive(Clone, Debug)]
pub(crate) enum At {
    /// A Unix socket.
    Socket(PathBuf),
    /// A host's name and a port.
    Port(String, u16),
}

impl Place {
    /// The server that a URL names, and the database in it.
    pub(crate) fn named(named: &str) -> Result<(Self, String), Error> {
        let wrong = || Error::Address(named.to_owned());
        let rest = named
            .strip_prefix("postgres://")
            .or_else(|| named.strip_prefix("postgresql://"))
            .ok_or_else(wrong)?;
        let (rest, options) = rest.split_once('?').unwrap_or((rest, ""));
        let socket = options.split('&').find_map(|own| own.strip_prefix("host="));
        let (who, rest) = rest.rsplit_once('@').ok_or_else(wrong)?;
        let (user, password) = match who.split_once(':') {
            Some((user, password)) => (user, Some(decoded(password))),
            None => (who, None),
        };
        let (at, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match at.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| wrong())?),
            None => (at, 5432),
        };
        let at = match socket {
            Some(folder) => {
                let folder = PathBuf::from(decoded(folder));
                At::Socket(folder.join(format!(".s.PGSQL.{port}")))
            }
            None => At::Port(host.to_owned(), port),
        };
        let place = Place {
            at,
            user: decoded(user),
            password,
        };
        let database = match database {
            "" => "postgres".to_owned(),
            database => decoded(database),
        };
        Ok((place, database))
    }

    /// The URL of a database of this server, as sqlx, tokio-postgres and libpq read it.
    pub(crate) fn url(&self, database: &str) -> String {
        let user = encoded(&self.user);
        let database = encoded(database);
        match &self.at {
            At::Socket(path) => {
                let folder = path.parent().unwrap_or(path).display().to_string();
                let folder = encoded(&folder);
                format!("postgres://{user}@localhost/{database}?host={folder}")
            }
            At::Port(host, port) => {
                let password = self.password.as_deref().map(encoded);
                let password = password.map(|password| format!(":{password}"));
                let password = password.unwrap_or_default();
                format!("postgres://{user}{password}@{host}:{port}/{database}")
            }
        }
    }
}

/// `text` as a part of a URL (RFC 3986, 2.1).
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(byte.into());
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// The text that a part of a URL stands for.
fn decoded(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let code = piece.get(..2);
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&piece.as_bytes()[2..]);
            }
            None => {
                bytes.push(b'%');
                bytes.extend(piece.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{At, Place, decoded, encoded};

    #[test]
    fn a_url_names_a_server() {
        let (place, database) = Place::named("postgres://me:p%40ss@db.local:6000/shop").unwrap();
        assert_eq!(place.user, "me");
        assert_eq!(place.password.as_deref(), Some("p@ss"));
        assert_eq!(database, "shop");
        assert!(matches!(&place.at, At::Port(host, 6000) if host == "db.local"));
        assert_eq!(place.url("shop"), "postgres://me:p%40ss@db.local:6000/shop");
    }

    #[test]
    fn a_url_may_name_a_socket() {
        let url = "postgres://me@localhost/shop?host=%2Frun%2Fpostgresql";
        let (place, _) = Place::named(url).unwrap();
        assert!(
            matches!(&place.at, At::Socket(path) if path.to_str() == Some("/run/postgresql/.s.PGSQL.5432"))
        );
        assert_eq!(place.url("shop"), url);
    }

    #[test]
    fn what_is_left_out_is_usual() {
        let (place, database) = Place::named("postgresql://me@localhost").unwrap();
        assert_eq!((place.password, database.as_str()), (None, "postgres"));
        assert!(matches!(place.at, At::Port(_, 5432)));
    }

    #[test]
    fn another_kind_of_address_is_refused() {
        for wrong in [
            "mysql://me@localhost",
            "postgres://localhost",
            "postgres://me@host:port/x",
        ] {
            assert!(Place::named(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_part_of_a_url_may_be_any_text() {
        for text in ["", "plain", "a b/c?d@e%", "é", "%zz"] {
            assert_eq!(decoded(&encoded(text)), text);
        }
        assert_eq!(decoded("100%"), "100%");
    }
}
