import Glibc
import LinuxSystem
import Wire

/// Writes the files of a configMap, secret, downwardAPI or projected volume so that readers see either all of the old
/// or all of the new ones (`pkg/volume/util/atomic_writer.go` in Kubernetes).
///
///     volume/..2026_01_02_03_04_05.000007/app.conf
///     volume/..data -> ..2026_01_02_03_04_05.000007      replaced by rename
///     volume/app.conf -> ..data/app.conf
enum AtomicWriter {
  struct File: Sendable, Equatable {
    var bytes: [UInt8]
    /// Permission bits.
    var mode: UInt32
    /// `nil` for root.
    var owner: UInt32?
  }

  /// Makes the volume's folder contain exactly `files`, whose keys are relative paths without `..`. Does nothing when
  /// it already does. Blocks.
  ///
  /// - Parameters:
  ///   - group: the pod's `fsGroup`, which then owns the files and may read them.
  ///   - stamp: makes the new folder's name differ from the old one.
  static func write(_ files: [String: File], to folder: String, group: UInt32?, stamp: Timestamp) throws(SystemError) {
    for path in files.keys {
      let parts = path.split(separator: "/", omittingEmptySubsequences: false)
      if path.utf8.count > 4096 || parts.contains(where: { $0.isEmpty || $0 == ".." || $0 == "." })
        || path.hasPrefix("..")
      {
        throw SystemError("write \(path) in a volume", errno: EINVAL, detail: "the path must be relative, without '..'")
      }
    }
    try Files.makeDirectory(folder, mode: 0o755)
    if let group { try Files.chown(folder, group: group, addingMode: 0o2550) }
    let dataLink = folder + "/..data"
    let old = Files.readLink(dataLink)
    if let old, isCurrent(files, in: "\(folder)/\(old)", folder: folder) { return }

    var name = ".." + stamp.rfc3339Micro.dropLast().map { "-:T".contains($0) ? "_" : String($0) }.joined()
    while Files.exists("\(folder)/\(name)") { name += "x" }
    let fresh = "\(folder)/\(name)"
    try Files.makeDirectory(fresh, mode: 0o755)
    if let group { try Files.chown(fresh, group: group, addingMode: 0o2550) }
    for (path, file) in files {
      let parts = path.split(separator: "/")
      var parent = fresh
      for part in parts.dropLast() {
        parent += "/" + part
        try Files.makeDirectory(parent, mode: 0o755)
        if let group { try Files.chown(parent, group: group, addingMode: 0o2550) }
      }
      let mode = group == nil ? file.mode : file.mode | 0o440
      try Files.write(file.bytes, to: "\(fresh)/\(path)", mode: mode, owner: file.owner, group: group)
    }

    let temporary = folder + "/..data_tmp"
    unlink(temporary)
    guard symlink(name, temporary) == 0 else { throw SystemError.last("symlink \(temporary)") }
    guard rename(temporary, dataLink) == 0 else { throw SystemError.last("rename \(temporary)") }

    // Names that readers see: the first part of each path leads through ..data.
    let visible = Set(files.keys.map { String($0.split(separator: "/")[0]) })
    for entry in visible {
      let link = "\(folder)/\(entry)"
      if Files.readLink(link) == "..data/\(entry)" { continue }
      guard symlink("..data/\(entry)", link) == 0 || errno == EEXIST else { throw SystemError.last("symlink \(link)") }
    }
    for entry in Files.list(folder) where !entry.hasPrefix("..") && !visible.contains(entry) {
      unlink("\(folder)/\(entry)")
    }
    for entry in Files.list(folder) where entry.hasPrefix("..2") && entry != name {
      try Directory.removeTree("\(folder)/\(entry)")
    }
  }

  /// Whether the folder that `..data` names holds exactly these files.
  private static func isCurrent(_ files: [String: File], in data: String, folder: String) -> Bool {
    var seen = 0
    func walk(_ relative: String) -> Bool {
      let path = relative.isEmpty ? data : "\(data)/\(relative)"
      for entry in Files.list(path) {
        let child = relative.isEmpty ? entry : "\(relative)/\(entry)"
        if let file = files[child] {
          guard let bytes = Files.read("\(data)/\(child)", limit: file.bytes.count), bytes == file.bytes else {
            return false
          }
          seen += 1
        } else if Files.isDirectory("\(data)/\(child)") {
          if !walk(child) { return false }
        } else {
          return false
        }
      }
      return true
    }
    guard Files.isDirectory(data), walk(""), seen == files.count else { return false }
    return files.keys.allSatisfy { Files.readLink("\(folder)/\($0.split(separator: "/")[0])") != nil }
  }
}
