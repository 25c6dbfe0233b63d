//! The third parties as the services call them: what mistakes put something before. It is no mistake itself.

use reference_system::ports::card_processor::HttpCardProcessor;
use reference_system::ports::mailer::HttpMailer;
use scenarios::deploy::{CARD_PROCESSOR, MAILER};

/// The card processor.
pub(super) fn card_processor() -> HttpCardProcessor {
    HttpCardProcessor::new(&format!("http://{CARD_PROCESSOR}"))
}

/// The mail service.
pub(super) fn mailer() -> HttpMailer {
    HttpMailer::new(&format!("http://{MAILER}"))
}
