import Glibc
import LinuxSystem

/// Device nodes of the host's `/dev`.
enum HostDevices {
  /// The node behind a device that a pod asks for. Blocks.
  static func find(_ device: ContainerDevice) throws(RuntimeError) -> OCIConfiguration.Device {
    guard var found = node(device.hostPath) else {
      throw RuntimeError(.invalid, "\(device.hostPath) is not a device of the node")
    }
    found.path = device.containerPath
    found.access = device.permissions
    return found
  }

  /// Every device but those that a container gets of its own. Blocks.
  static func all() -> [OCIConfiguration.Device] {
    var devices: [OCIConfiguration.Device] = []
    func walk(_ folder: String, _ depth: Int) {
      for name in (try? Directory.list(folder)) ?? [] {
        let path = "\(folder)/\(name)"
        if depth == 0, ["pts", "shm", "mqueue", "fd", "console", "ptmx"].contains(name) { continue }
        var info = stat()
        guard lstat(path, &info) == 0 else { continue }
        if info.st_mode & S_IFMT == S_IFDIR {
          // /dev is flat; a bound keeps a strange one from holding the container up.
          if depth < 4 { walk(path, depth + 1) }
        } else if let device = node(path) {
          devices.append(device)
        }
      }
    }
    walk("/dev", 0)
    return devices
  }

  private static func node(_ path: String) -> OCIConfiguration.Device? {
    var info = stat()
    guard lstat(path, &info) == 0 else { return nil }
    let type: String
    switch info.st_mode & S_IFMT {
    case S_IFCHR: type = "c"
    case S_IFBLK: type = "b"
    default: return nil
    }
    let number = UInt64(info.st_rdev)
    // The encoding of glibc's makedev(3).
    let major = (number >> 8) & 0xfff | (number >> 32) & 0xffff_f000
    let minor = number & 0xff | (number >> 12) & 0xffff_ff00
    return OCIConfiguration.Device(
      path: path, type: type, major: Int64(major), minor: Int64(minor), mode: Int64(info.st_mode & 0o7777),
      uid: Int64(info.st_uid), gid: Int64(info.st_gid))
  }
}
