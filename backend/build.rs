//! A new migration of the database is compiled in: cargo does not see new files in a folder by itself.

fn main() {
    println!("cargo:rerun-if-changed=src/server/store/migrations");
}
