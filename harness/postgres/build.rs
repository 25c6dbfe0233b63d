//! Compiles what is loaded into the real server's processes to a shared object, with the compiler and the
//! linker that the package itself is built with.

use std::env;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=preload/backend.rs");
    let variable = |name: &str| env::var_os(name).unwrap_or_default();
    let object = PathBuf::from(variable("OUT_DIR")).join("backend.so");
    let is_covered = variable("CARGO_CFG_TARGET_OS") == "linux"
        && ["x86_64", "aarch64"]
            .iter()
            .any(|own| variable("CARGO_CFG_TARGET_ARCH") == *own);
    if !is_covered {
        std::fs::write(object, []).expect("the folder for what is built can be written");
        return;
    }
    let mut compiler = Command::new(variable("RUSTC"));
    compiler.args([
        "--edition",
        "2024",
        "--crate-type",
        "cdylib",
        "--crate-name",
        "backend",
    ]);
    compiler.args(["-O", "-C", "panic=abort", "-C", "strip=symbols", "--target"]);
    compiler.arg(variable("TARGET"));
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        compiler
            .arg("-C")
            .arg(format!("linker={}", linker.display()));
    }
    compiler.arg("-o").arg(&object).arg("preload/backend.rs");
    let status = compiler
        .status()
        .expect("the compiler of the package can be run");
    assert!(status.success(), "preload/backend.rs did not compile");
}
