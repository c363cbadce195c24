//! The pages of the repository hold together: what they cite and link exists.

mod architecture;
mod code;
mod files;
mod links;
mod protocol;
