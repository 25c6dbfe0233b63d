//! Differences between two schemas that keep readers of one from reading what is written to the other.

use std::fmt;

/// Declares the rules: a name in the code, Confluent's name, and what it means.
macro_rules! rules {
    ($($rule:ident $name:literal $meaning:literal,)*) => {
        /// The rule that a difference breaks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $meaning] $rule,)*
        }

        impl Rule {
            /// Its name on the wire.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)*
                }
            }

            fn meaning(self) -> &'static str {
                match self {
                    $(Self::$rule => $meaning,)*
                }
            }
        }
    };
}

rules! {
    TypeChanged "TYPE_CHANGED" "the reader takes another type than is written",
    TypeNarrowed "TYPE_NARROWED" "the reader takes fewer types than are written",
    EnumNarrowed "ENUM_ARRAY_NARROWED" "the reader does not take every value that may be written",
    PatternAdded "PATTERN_ADDED" "the reader wants a pattern that the writer does not keep",
    PatternChanged "PATTERN_CHANGED" "the reader wants another pattern than the writer keeps",
    MultipleOfAdded "MULTIPLE_OF_ADDED" "the reader wants multiples that the writer does not keep to",
    MultipleOfChanged "MULTIPLE_OF_CHANGED" "the reader wants other multiples than are written",
    BoundAdded "BOUND_ADDED" "the reader has a bound that the writer does not keep",
    BoundTightened "BOUND_TIGHTENED" "the reader has a tighter bound than the writer keeps",
    UniqueItemsAdded "UNIQUE_ITEMS_ADDED" "the reader wants items to differ, which the writer does not keep",
    PropertyAddedToOpen "PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL" "the writer may have written anything under a name that the reader now reads",
    PropertyAddedNotCovered "PROPERTY_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" "the writer may write something else under a name that the reader now reads",
    RequiredPropertyAdded "REQUIRED_PROPERTY_ADDED_TO_UNOPEN_CONTENT_MODEL" "the reader requires a field that the writer does not know, and has no default for it",
    PropertyRemovedFromClosed "PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL" "the reader refuses a field that is written",
    PropertyRemovedNotCovered "PROPERTY_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" "the reader takes something else under a name that is written",
    RequiredAdded "REQUIRED_ATTRIBUTE_ADDED" "the reader requires a field that the writer may leave out, and has no default for it",
    AdditionalPropertiesRemoved "ADDITIONAL_PROPERTIES_REMOVED" "the reader refuses further fields, which the writer may write",
    AdditionalPropertiesNarrowed "ADDITIONAL_PROPERTIES_NARROWED" "the reader does not take every further field that may be written",
    DependencyAdded "DEPENDENCY_ARRAY_ADDED" "the reader wants fields together that the writer does not keep together",
    ItemAddedToOpen "ITEM_ADDED_TO_OPEN_CONTENT_MODEL" "the writer may have written anything at a place that the reader now reads",
    ItemAddedNotCovered "ITEM_ADDED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" "the writer may write something else at a place that the reader now reads",
    ItemRemovedFromClosed "ITEM_REMOVED_FROM_CLOSED_CONTENT_MODEL" "the reader refuses an item that is written",
    ItemRemovedNotCovered "ITEM_REMOVED_NOT_COVERED_BY_PARTIALLY_OPEN_CONTENT_MODEL" "the reader takes something else at a place that is written",
    CombinedTypeChanged "COMBINED_TYPE_CHANGED" "alternatives are combined in another way",
    CombinedSubschemasChanged "COMBINED_TYPE_SUBSCHEMAS_CHANGED" "an alternative has no partner on the other side that goes with it",
    ProductExtended "PRODUCT_TYPE_EXTENDED" "the reader wants more to be fulfilled at once than the writer fulfils",
    SumNarrowed "SUM_TYPE_NARROWED" "the reader takes fewer alternatives than may be written",
    NotExtended "NOT_TYPE_EXTENDED" "the reader refuses more than the writer does",
    KeywordChanged "KEYWORD_CHANGED" "a keyword is another one that is not compared in parts",
}

/// What keeps a reader from reading, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The rule.
    pub rule: Rule,
    /// The place in the schemas, as a JSON pointer.
    pub path: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, path } = self;
        write!(f, "{} at '{path}': {}", rule.name(), rule.meaning())
    }
}
