//! The pages of the repository hold together: what they cite and link exists.

mod architecture;
mod files;
mod links;
mod protocol;
