//! Tells the linker to pack relative relocations (RELR). The program's tables of functions and texts have a hundred thousand
//! addresses; one by one they are 2 MiB that every start reads and that stay in memory.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if loader_knows_packed_relocations() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The C library of GNU does since 2.36, of 2022; an older one refuses to start the program. Asked is the one of this machine,
/// so that only what is built for it is packed.
fn loader_knows_packed_relocations() -> bool {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("HOST") != variable("TARGET") || variable("CARGO_CFG_TARGET_ENV") != "gnu" {
        return false;
    }
    let Ok(output) = Command::new("getconf").arg("GNU_LIBC_VERSION").output() else { return false };
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.trim().strip_prefix("glibc ").and_then(|version| version.split_once('.'));
    let version = version.and_then(|(major, minor)| Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?)));
    version.is_some_and(|version| version >= (2, 36))
}
