/// What a payload may make a reader hold, in every format. A value the user sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValueLimits {
    /// Containers inside containers. Default: 256, which needs up to 256 KiB of the reading thread's stack, and 1.25 MiB
    /// in a debug build: lower it where threads have less than tokio's 2 MiB.
    pub max_depth: usize,
    /// Values in one payload, each element of a container counted. Default: 4 194 304, so that a payload of the largest
    /// frame made of the smallest values stays near 128 MiB in memory.
    pub max_values: usize,
}

impl Default for ValueLimits {
    fn default() -> Self {
        Self { max_depth: 256, max_values: 1 << 22 }
    }
}
