//! The frame of every page: one self-contained HTML file, which asks no network for anything.
//!
//! A page has no script but what it is given, and is refused every connection by its own policy, so that a payload
//! that were not escaped could still reach nobody. What stands in a page is up to the reports.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;

/// Colours, type and tables that all pages have in common, in light, dark and on paper.
const STYLE: &str = include_str!("html/page.css");

/// What a browser may do with a page: nothing but show it and run what it brings along.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// One page.
pub(crate) struct Page<'a> {
    /// What the tab says.
    pub(crate) title: &'a str,
    /// Style beyond what all pages have in common.
    pub(crate) style: &'a str,
    /// What is read, within `main`.
    pub(crate) body: Markup,
    /// What runs once the body stands; empty for a page without.
    pub(crate) script: &'a str,
}

impl Page<'_> {
    /// The page as the text of a file, the same for equal pages.
    pub(crate) fn render(&self) -> String {
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta http-equiv="Content-Security-Policy" content=(POLICY);
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) (PreEscaped(self.style)) }
                }
                body {
                    main { (self.body) }
                    @if !self.script.is_empty() { script { (PreEscaped(self.script)) } }
                }
            }
        };
        markup.into_string() + "\n"
    }
}

/// Data for a page's script, which finds it by `id`. It cannot end the element that it stands in.
///
/// # Panics
///
/// If the data has no JSON form, which is a mistake in this package: no report has maps with keys that are no text.
pub(crate) fn data(id: &str, data: &impl Serialize) -> Markup {
    let json = serde_json::to_string(data).expect("reports are plain data");
    html! { script type="application/json" id=(id) { (PreEscaped(json.replace('<', "\\u003c"))) } }
}

#[cfg(test)]
mod tests {
    use maud::html;

    use super::{Page, data};

    #[test]
    fn hostile_texts_stay_texts() {
        let hostile = "</script><script>alert(1)</script>";
        let page = Page {
            title: hostile,
            style: "",
            body: html! { p { (hostile) } (data("rows", &[hostile])) },
            script: "",
        };
        let page = page.render();
        assert_eq!(page.matches("<script").count(), 1, "{page}");
        assert_eq!(page.matches("</script>").count(), 1, "{page}");
    }
}
