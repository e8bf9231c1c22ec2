//! Sharing: links that show one project to others, and the owner's password.

mod links;
mod made;
mod page;
mod password;

pub(crate) use page::Share;
