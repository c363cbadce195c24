//! Calls on their way through a Router: to their receiver, and their answers back.

pub(crate) mod absent;
pub(crate) mod beginning;
pub(crate) mod bodies;
pub(crate) mod delivering;
pub(crate) mod departing;
pub(crate) mod farewells;
pub(crate) mod forward;
pub(crate) mod forward_data;
pub(crate) mod later;
pub(crate) mod member_calls;
pub(crate) mod owed;
pub(crate) mod streams;
pub(crate) mod unanswered;
pub(crate) mod uploads;
