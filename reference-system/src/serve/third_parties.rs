//! Whom the shop calls: a card processor and a mail service, its own where no other is given.
//!
//! Its own are called over HTTP all the same, and forget everything when the process ends.

use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use reference_system::ports::card_processor::SandboxCardProcessor;
use reference_system::ports::mailer::LoggingMailer;

use super::{ServeError, listen};

/// Where they are.
#[derive(Clone)]
pub(super) struct ThirdParties {
    pub(super) cards: String,
    pub(super) mail: String,
}

impl ThirdParties {
    /// Those at the given addresses, and the shop's own for the others. The shop's own serve until the process ends.
    pub(super) async fn find(
        cards: Option<String>,
        mail: Option<String>,
    ) -> Result<Self, ServeError> {
        Ok(Self {
            cards: match cards {
                Some(url) => url,
                None => own("card processor", SandboxCardProcessor::default().router()).await?,
            },
            mail: match mail {
                Some(url) => url,
                None => own("mail service", LoggingMailer::default().router()).await?,
            },
        })
    }
}

/// Serves on a free loopback port, and gives its address.
async fn own(name: &'static str, routes: Router) -> Result<String, ServeError> {
    let listener = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let address = listener.local_addr().map_err(ServeError::Start)?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "{name} has failed");
        }
    });
    Ok(format!("http://{address}"))
}
