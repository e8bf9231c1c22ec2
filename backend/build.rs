//! A new migration of the database is compiled in, and so is the page: cargo does not see new files in a folder by itself.

fn main() {
    println!("cargo:rerun-if-changed=src/server/store/migrations");
    println!("cargo:rerun-if-changed=page");
}
