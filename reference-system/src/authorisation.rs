//! The synchronous check: may this customer order? It is asked by a call and answered at once.
//!
//! Who gets no answer has none: it neither remembers the last one nor guesses, because both would let through what was
//! forbidden meanwhile.

use std::time::Duration;

use reqwest::Url;

use crate::customers::MayOrder;

/// How long an answer is waited for: the customer waits as well.
const PATIENCE: Duration = Duration::from_millis(500);

/// The service that knows.
#[derive(Clone, Debug)]
pub struct Authorisation {
    client: reqwest::Client,
    customers: Url,
}

/// There is no answer.
#[derive(Debug, thiserror::Error)]
#[error("nobody can say whether the customer may order: {0}")]
pub struct NoAnswer(#[from] reqwest::Error);

impl Authorisation {
    /// Asks the [customers](crate::customers) at this address, such as `http://customers.example`.
    #[must_use]
    pub fn new(customers: Url) -> Self {
        let client = reqwest::Client::new();
        Self { client, customers }
    }

    /// Whether orders are taken from the customer of this id now.
    ///
    /// # Errors
    /// When there is no answer in time.
    pub async fn may_order(&self, customer: &str) -> Result<bool, NoAnswer> {
        let mut url = self.customers.clone();
        // An address that has no path is no address of HTTP, and is refused when it is called.
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty()
                .extend(["customers", customer, "may-order"]);
        }
        let response = self.client.get(url).timeout(PATIENCE).send().await?;
        let MayOrder { may_order } = response.error_for_status()?.json().await?;
        Ok(may_order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::customers::{self, Customer};
    use crate::{Database, Shutdown, migrate};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_answer_is_what_the_row_says_now() {
        let database = Database::connect("sqlite::memory:").await.unwrap();
        let script = customers::schema(database.engine());
        migrate(&database, script).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(customers::serve(listener, database, Shutdown::never()));
        let (authorisation, http) = (
            Authorisation::new(url.parse().unwrap()),
            reqwest::Client::new(),
        );
        let ada = format!("{url}/customers/ada");
        assert!(!authorisation.may_order("ada").await.unwrap());
        for may_order in [true, false, true] {
            let name = "Ada".to_owned();
            let customer = Customer { name, may_order };
            let put = http.put(&ada).json(&customer).send().await.unwrap();
            assert_eq!(put.status(), 204);
            assert_eq!(authorisation.may_order("ada").await.unwrap(), may_order);
            let found: Customer = http.get(&ada).send().await.unwrap().json().await.unwrap();
            assert_eq!(found, customer);
        }
        let deleted = async || http.delete(&ada).send().await.unwrap().status();
        assert_eq!(
            (deleted().await.as_u16(), deleted().await.as_u16()),
            (204, 404)
        );
        assert!(!authorisation.may_order("ada").await.unwrap());
    }

    #[tokio::test]
    async fn without_an_answer_nothing_is_guessed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let authorisation = Authorisation::new(url.parse().unwrap());
        assert!(authorisation.may_order("ada").await.is_err());
    }
}
