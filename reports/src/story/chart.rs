//! A figure over virtual time as a static drawing, with the times of faults behind it.

use maud::{Markup, html};

use super::columns::cut;
use super::{Form, Period, Series};
use crate::figures::instant;

const WIDTH: u64 = 720;
const HEIGHT: u64 = 120;
/// Room for what the axes say.
const LEFT: u64 = 56;
const BELOW: u64 = 22;
/// More points than this are thinned: they would be narrower than a line.
const POINTS_MAX: usize = 1_440;

/// The drawing of one figure.
pub(super) fn chart(series: &Series, periods: &[Period], end_ns: u64) -> Markup {
    let highest = series.points.iter().map(|(_, value)| *value).max();
    let highest = highest.unwrap_or(0);
    let scale = Scale {
        end_ns: end_ns.max(1),
        highest: highest.max(1),
    };
    let (width, height) = (LEFT + WIDTH + 12, HEIGHT + BELOW + 10);
    let view = format!("0 0 {width} {height}");
    html! {
        figure {
            figcaption { (series.title) ", " (series.unit) ": at most " (highest) }
            svg viewBox=(view) role="img" aria-label=(format!("{} over virtual time", series.title)) {
                @for period in periods { (shade(period, &scale)) }
                line class="axis" x1=(LEFT) y1=(HEIGHT + 6) x2=(LEFT + WIDTH) y2=(HEIGHT + 6) {}
                text class="label" x=(LEFT - 6) y="14" text-anchor="end" { (highest) }
                text class="label" x=(LEFT - 6) y=(HEIGHT + 6) text-anchor="end" { "0" }
                text class="label" x=(LEFT) y=(HEIGHT + 22) { "0 s" }
                text class="label" x=(LEFT + WIDTH) y=(HEIGHT + 22) text-anchor="end" { (instant(end_ns / 1_000_000)) }
                @match series.form {
                    Form::Steps => path class="steps" d=(steps(series, &scale)) {},
                    Form::Points => @for (at, value) in thinned(&series.points) {
                        circle class="point" cx=(scale.x(at)) cy=(scale.y(value)) r="2.5" {}
                    },
                }
            }
        }
    }
}

struct Scale {
    end_ns: u64,
    highest: u64,
}

impl Scale {
    fn x(&self, at_ns: u64) -> u64 {
        let share =
            u128::from(at_ns.min(self.end_ns)) * u128::from(WIDTH) / u128::from(self.end_ns);
        LEFT + u64::try_from(share).unwrap_or(WIDTH)
    }

    fn y(&self, value: u64) -> u64 {
        let share = u128::from(value) * u128::from(HEIGHT) / u128::from(self.highest);
        6 + HEIGHT - u64::try_from(share).unwrap_or(HEIGHT)
    }
}

fn shade(period: &Period, scale: &Scale) -> Markup {
    let (from, until) = (scale.x(period.from_ns), scale.x(period.until_ns));
    html! {
        rect class="fault" x=(from) y="6" width=((until - from).max(2)) height=(HEIGHT) {
            title { (cut(&period.label)) }
        }
    }
}

fn steps(series: &Series, scale: &Scale) -> String {
    let mut path = format!("M{LEFT} {}", scale.y(0));
    for (at, value) in thinned(&series.points) {
        path += &format!("H{}V{}", scale.x(at), scale.y(value));
    }
    path + &format!("H{}", LEFT + WIDTH)
}

/// So many points as can be told apart: of each group the one with the highest value, so that no peak is lost.
fn thinned(points: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let size = points.len().div_ceil(POINTS_MAX).max(1);
    let groups = points.chunks(size);
    let highest = |group: &[(u64, u64)]| group.iter().copied().max_by_key(|(_, value)| *value);
    groups.filter_map(highest).collect()
}
