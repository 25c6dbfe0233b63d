//! The contracts: every type of event, its topic, its schema version, its data and the JSON Schema of that.
//!
//! Events are hybrid: they carry the entity's id and what their consumers need next, never the whole entity. One of them can be
//! thin, and then carries less than that. Schemas are
//! closed, so that a field can be added for old readers to miss, but never unseen. What is published of them is for the
//! [`catalogue`](super::catalogue) to say.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Topics: one for each publishing service.
pub mod topic {
    /// Published by the order service.
    pub const ORDERS: &str = "orders";
    /// Published by the inventory service.
    pub const INVENTORY: &str = "inventory";
    /// Published by the payment service.
    pub const PAYMENTS: &str = "payments";
    /// Published by the shipping service.
    pub const SHIPMENTS: &str = "shipments";
    /// Published by the gateway for analytics, as far as the broker takes it.
    pub const ACTIVITY: &str = "activity";
    /// Published by whoever asks by events whether somebody may order.
    pub const QUESTIONS: &str = "questions";
    /// Published by the customers' service where it is asked by events.
    pub const ANSWERS: &str = "answers";
    /// Published by the saga's orchestrator, where there is one.
    pub const COMMANDS: &str = "commands";
}

/// Types of events.
pub mod event_type {
    /// A customer placed an order.
    pub const ORDER_PLACED: &str = "order.placed";
    /// The order is paid and will be shipped.
    pub const ORDER_CONFIRMED: &str = "order.confirmed";
    /// The order goes to another address.
    pub const ORDER_READDRESSED: &str = "order.readdressed";
    /// A cancelled order turned out to be paid: the money has to go back.
    pub const REFUND_REQUESTED: &str = "refund.requested";
    /// The order will not be carried out.
    pub const ORDER_CANCELLED: &str = "order.cancelled";
    /// Stock is set aside for the order.
    pub const STOCK_RESERVED: &str = "stock.reserved";
    /// There is not enough stock for the order.
    pub const STOCK_REJECTED: &str = "stock.rejected";
    /// The order's stock is free again.
    pub const STOCK_RELEASED: &str = "stock.released";
    /// The order is paid.
    pub const PAYMENT_CAPTURED: &str = "payment.captured";
    /// The card was declined.
    pub const PAYMENT_DECLINED: &str = "payment.declined";
    /// The customer has the money back.
    pub const PAYMENT_REFUNDED: &str = "payment.refunded";
    /// A parcel of the order left the warehouse.
    pub const SHIPMENT_DISPATCHED: &str = "shipment.dispatched";
    /// An order was placed, for those who count.
    pub const ORDER_TRACKED: &str = "order.tracked";
    /// Somebody asks whether a customer may order.
    pub const AUTHORISATION_ASKED: &str = "authorisation.asked";
    /// Whether the customer may.
    pub const AUTHORISATION_ANSWERED: &str = "authorisation.answered";
    /// Asks for stock to be set aside.
    pub const RESERVE_STOCK: &str = "stock.reserve";
    /// Asks for the order's stock to be free again.
    pub const RELEASE_STOCK: &str = "stock.release";
    /// Asks for the card to be charged.
    pub const CHARGE_CARD: &str = "payment.charge";
    /// Asks for the money to go back.
    pub const REFUND_CARD: &str = "payment.refund";
    /// Asks for a paid order to be confirmed.
    pub const CONFIRM_ORDER: &str = "order.confirm";
    /// Asks for an order that is not paid yet to be cancelled.
    pub const CANCEL_ORDER: &str = "order.cancel";
    /// Asks for a confirmed order to be shipped.
    pub const SHIP_ORDER: &str = "shipment.dispatch";
}

/// The data of one type of event.
pub trait Contract: Serialize {
    /// The event's type.
    const EVENT_TYPE: &'static str;
    /// The topic it is published to.
    const TOPIC: &'static str;
    /// The version of this schema; raised by a change that old readers cannot read.
    const SCHEMA_VERSION: u32 = 1;

    /// The data as JSON.
    fn into_json(self) -> Value;

    /// The JSON Schema of the data (draft 7): closed, and with every field required. A field with a default is one that
    /// older data lacks.
    fn schema() -> Value;
}

/// A type of field, as JSON Schema names it.
trait FieldType {
    const NAME: &'static str;
}

impl FieldType for String {
    const NAME: &'static str = "string";
}

impl FieldType for i64 {
    const NAME: &'static str = "integer";
}

impl FieldType for bool {
    const NAME: &'static str = "boolean";
}

/// The schema of one field.
fn field(name: &'static str, description: &str, default: Option<Value>) -> Value {
    let mut schema = serde_json::json!({ "type": name, "description": description.trim() });
    if let Some(default) = default {
        schema["default"] = default;
    }
    schema
}

/// Declares the data of one type of event. A field with a value is one that an earlier version lacks, which means that value
/// there.
macro_rules! contract {
    ($event_type:ident on $topic:ident $(version $version:literal)?, $(#[doc = $doc:literal])* $name:ident {
        $($(#[doc = $field_doc:literal])* $field:ident: $kind:ty $(= $default:literal)?,)*
    }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: $kind,)*
        }

        impl Contract for $name {
            const EVENT_TYPE: &'static str = event_type::$event_type;
            const TOPIC: &'static str = topic::$topic;
            $(const SCHEMA_VERSION: u32 = $version;)?

            fn into_json(self) -> Value {
                serde_json::json!({ $(stringify!($field): self.$field),* })
            }

            fn schema() -> Value {
                serde_json::json!({
                    "$schema": "http://json-schema.org/draft-07/schema#",
                    "title": Self::EVENT_TYPE,
                    "description": concat!($($doc),*).trim(),
                    "type": "object",
                    "properties": { $(stringify!($field): field(
                        <$kind as FieldType>::NAME,
                        concat!($($field_doc),*),
                        [$(Value::from($default))?].into_iter().next(),
                    )),* },
                    "required": [$(stringify!($field)),*],
                    "additionalProperties": false,
                })
            }
        }
    };
}

contract!(ORDER_PLACED on ORDERS,
    /// What was ordered, by whom, and how it is to be paid; from before there were vouchers.
    OrderPlacedV1 {
        /// The customer's mail address.
        customer: String,
        /// The card's token.
        card: String,
        /// Where it is to be sent.
        address: String,
        /// The article.
        sku: String,
        /// How many.
        quantity: i64,
        /// The price of one, in cents.
        unit_price_cents: i64,
    }
);

contract!(ORDER_PLACED on ORDERS version 2,
    /// What was ordered, by whom, and how it is to be paid.
    OrderPlaced {
        /// The customer's mail address.
        customer: String,
        /// The card's token.
        card: String,
        /// Where it is to be sent.
        address: String,
        /// The article.
        sku: String,
        /// How many.
        quantity: i64,
        /// The price of one, in cents.
        unit_price_cents: i64,
        /// What a voucher takes off the whole, in cents.
        discount_cents: i64 = 0,
    }
);

contract!(ORDER_CONFIRMED on ORDERS,
    /// What is to be shipped, to whom.
    OrderConfirmed {
        /// The customer's mail address.
        customer: String,
        /// Where it is to be sent.
        address: String,
        /// The version of the order that has this address.
        version: i64,
        /// The article.
        sku: String,
        /// How many.
        quantity: i64,
        /// What was paid, in cents.
        total_cents: i64,
    }
);

contract!(ORDER_CONFIRMED on ORDERS version 2,
    /// That an order will be shipped; what and where to has to be fetched.
    OrderConfirmedThin {
        /// The version of the order that is confirmed.
        version: i64,
    }
);

contract!(ORDER_CONFIRMED on ORDERS version 3,
    /// The whole order, as its owner has it.
    OrderWhole {
        /// The order's state.
        state: String,
        /// The customer's mail address.
        customer: String,
        /// Where it is to be sent.
        address: String,
        /// The article.
        sku: String,
        /// How many.
        quantity: i64,
        /// How many of them are on their way.
        dispatched: i64,
        /// The price of one, in cents.
        unit_price_cents: i64,
        /// What a voucher takes off the whole, in cents.
        discount_cents: i64,
        /// Raised by every change.
        version: i64,
    }
);

contract!(ORDER_CONFIRMED on ORDERS version 4,
    /// The whole order since its owner keeps its total.
    OrderWholePriced {
        /// The order's state.
        state: String,
        /// The customer's mail address.
        customer: String,
        /// Where it is to be sent.
        address: String,
        /// The article.
        sku: String,
        /// How many.
        quantity: i64,
        /// How many of them are on their way.
        dispatched: i64,
        /// The price of one, in cents.
        unit_price_cents: i64,
        /// What a voucher takes off the whole, in cents.
        discount_cents: i64,
        /// What the order costs, in cents.
        total_cents: i64,
        /// Raised by every change.
        version: i64,
    }
);

contract!(ORDER_READDRESSED on ORDERS,
    /// Where what is not on its way yet is to be sent.
    OrderReaddressed {
        /// The new address.
        address: String,
        /// The version of the order that has this address.
        version: i64,
    }
);

contract!(REFUND_REQUESTED on ORDERS,
    /// What was paid for an order that is cancelled.
    RefundRequested {
        /// The customer's mail address.
        customer: String,
        /// The amount, in cents.
        amount_cents: i64,
    }
);

contract!(ORDER_CANCELLED on ORDERS,
    /// Why the order will not be carried out.
    OrderCancelled {
        /// The customer's mail address.
        customer: String,
        /// Why, for the customer to read.
        reason: String,
    }
);

contract!(STOCK_RESERVED on INVENTORY,
    /// What was set aside, and what it costs.
    StockReserved {
        /// The article.
        sku: String,
        /// How many.
        quantity: i64,
        /// The card's token.
        card: String,
        /// What the order costs, in cents.
        amount_cents: i64,
    }
);

contract!(STOCK_REJECTED on INVENTORY,
    /// What is missing.
    StockRejected {
        /// The article.
        sku: String,
        /// How many were asked for.
        quantity: i64,
        /// Why there are not enough.
        reason: String,
    }
);

contract!(STOCK_RELEASED on INVENTORY,
    /// What is free again.
    StockReleased {
        /// The article.
        sku: String,
        /// How many.
        quantity: i64,
    }
);

contract!(PAYMENT_CAPTURED on PAYMENTS,
    /// What was paid.
    PaymentCaptured {
        /// The amount, in cents.
        amount_cents: i64,
    }
);

contract!(PAYMENT_DECLINED on PAYMENTS,
    /// What was not paid, and why.
    PaymentDeclined {
        /// The amount, in cents.
        amount_cents: i64,
        /// Why, in the card processor's words.
        reason: String,
    }
);

contract!(PAYMENT_REFUNDED on PAYMENTS,
    /// What was given back, to whom.
    PaymentRefunded {
        /// The customer's mail address.
        customer: String,
        /// The amount, in cents.
        amount_cents: i64,
    }
);

contract!(ORDER_TRACKED on ACTIVITY,
    /// How much of what was ordered.
    OrderTracked {
        /// The article.
        sku: String,
        /// How many.
        quantity: i64,
        /// What the order costs, in cents.
        amount_cents: i64,
    }
);

contract!(AUTHORISATION_ASKED on QUESTIONS,
    /// Who is about to order.
    AuthorisationAsked {
        /// The customer's id.
        customer: String,
    }
);

contract!(AUTHORISATION_ANSWERED on ANSWERS,
    /// The answer to the question that caused it.
    AuthorisationAnswered {
        /// Whether orders are taken from the customer.
        may_order: bool,
    }
);

contract!(CANCEL_ORDER on COMMANDS,
    /// Why the order is not to be carried out.
    CancelOrder {
        /// Why, for the customer to read.
        reason: String,
    }
);

contract!(SHIPMENT_DISPATCHED on SHIPMENTS,
    /// What left the warehouse in one parcel, for whom, and what is left of the order.
    ShipmentDispatched {
        /// The customer's mail address.
        customer: String,
        /// The article.
        sku: String,
        /// Which of the order's parcels it is, counted from 1.
        parcel: i64,
        /// How many pieces are in it.
        quantity: i64,
        /// How many pieces of the order are still to be sent.
        left: i64,
    }
);
