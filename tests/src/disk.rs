//! A disk of a host's own: an ext4 in a file on the machine's real one.

use std::fs::{self, File};

use crate::host::Running;

impl Running {
    /// Makes an ext4 of so many MiB in the file `image`, which lies on a real disk
    /// ([`Host::disk`]).
    ///
    /// [`Host::disk`]: crate::Host::disk
    pub fn make_disk(&self, image: &str, size: u64) {
        File::create(self.path(image)).unwrap().set_len(size << 20).unwrap();
        self.run(&["mkfs.ext4", "-q", "-F", "-m", "0", image]).ok();
        // Loop devices are the machine's, whoever makes the nodes; a free one has any number.
        self.shell(
            "[ -e /dev/loop-control ] && exit
             mknod /dev/loop-control c 10 237
             for n in $(seq 0 63); do mknod /dev/loop$n b 7 $n; done",
        );
    }

    /// Mounts it. Nothing that is written reaches the file before somebody syncs it.
    pub fn mount_disk(&self, image: &str, at: &str) {
        fs::create_dir_all(self.path(at)).unwrap();
        self.run(&["mount", "-o", "loop,commit=300", image, at]).ok();
    }

    /// Unmounts it.
    pub fn unmount_disk(&self, at: &str) {
        self.run(&["umount", at]).ok();
    }

    /// Cuts the power and gives it back: what the disk holds at this moment is mounted again, and
    /// nothing else.
    pub fn cut_power(&self, image: &str, at: &str) {
        let (image_outside, cut) = (self.path(image), self.path(format!("{image}.cut")));
        fs::copy(&image_outside, &cut).unwrap();
        self.unmount_disk(at);
        fs::rename(cut, image_outside).unwrap();
        self.mount_disk(image, at);
    }
}
