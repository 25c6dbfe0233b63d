//! Says to the code whether runs can be simulated for the target: `cfg(simulated)`.

use std::env::var;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(simulated)");
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, values: &[&str]| {
        let value = var(name).unwrap_or_default();
        values.contains(&value.as_str())
    };
    if is("CARGO_CFG_TARGET_OS", &["linux"])
        && is("CARGO_CFG_TARGET_ENV", &["gnu"])
        && is("CARGO_CFG_TARGET_ARCH", &["x86_64", "aarch64"])
    {
        println!("cargo::rustc-cfg=simulated");
    }
}
