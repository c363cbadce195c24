use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// A path for a Unix socket that nobody else uses, short enough for servers of 3.0.1. The file is
/// removed when this is dropped.
#[derive(Debug)]
pub struct SocketPath(PathBuf);

impl SocketPath {
    /// A path where no file is.
    #[must_use]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("d{:x}-{:x}", process::id(), NEXT.fetch_add(1, Relaxed));
        // Servers of 3.0.1 cut a path to 26 bytes.
        let inside = |directory: &Path| Some(directory.join(&name)).filter(|path| path.as_os_str().len() <= 26);
        let path = inside(&env::temp_dir()).unwrap_or_else(|| Path::new("/tmp").join(&name));
        let _left_by_a_killed_process = fs::remove_file(&path);
        Self(path)
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path as an endpoint: `unix:///path`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.0.display())
    }
}

impl Default for SocketPath {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for SocketPath {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}
