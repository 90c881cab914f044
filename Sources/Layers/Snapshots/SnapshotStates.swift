import Glibc
import LinuxSystem

/// What may be done with which snapshot: the rules of ``Snapshotter`` without the file system. Pure.
struct SnapshotStates: Sendable {
  enum Kind: Sendable { case active, view, committed, removing }

  private struct Snapshot: Sendable {
    var kind: Kind
    /// The committed ones that it stands on.
    var parents: Set<String> = []
  }

  private var snapshots: [String: Snapshot] = [:]

  /// Whether it can be a folder's name: letters, digits, `.`, `-` and `_`, at most 255 bytes, neither `.` nor `..`.
  static func isKey(_ key: String) -> Bool {
    (1...255).contains(key.utf8.count) && key != "." && key != ".."
      && key.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
          true
        default: false
        }
      }
  }

  func isKnown(_ key: String) -> Bool { snapshots[key] != nil }

  /// An earlier process committed it.
  mutating func found(_ key: String) {
    if snapshots[key] == nil { snapshots[key] = Snapshot(kind: .committed) }
  }

  /// One is about to be made.
  mutating func add(_ key: String, _ kind: Kind, on parents: Set<String>) throws(SystemError) {
    try Self.check(key, to: "make")
    guard snapshots[key] == nil else { throw Self.refusal("make", key, EEXIST, "the key is in use") }
    for parent in parents.sorted() where snapshots[parent]?.kind != .committed {
      throw Self.refusal("make", key, ENOENT, "its parent \(parent) is not committed")
    }
    snapshots[key] = Snapshot(kind: kind, parents: parents)
  }

  /// Whether it may be committed.
  func checkCommit(_ key: String) throws(SystemError) {
    try Self.check(key, to: "commit")
    switch snapshots[key]?.kind {
    case .active: return
    case .view: throw Self.refusal("commit", key, EROFS, "it is a view")
    case .committed: throw Self.refusal("commit", key, EEXIST, "it is committed already")
    case .removing, nil: throw Self.refusal("commit", key, ENOENT, "it is not there")
    }
  }

  mutating func committed(_ key: String) { snapshots[key]?.kind = .committed }

  /// It is about to be removed. One that is not known may be an earlier process's.
  mutating func remove(_ key: String) throws(SystemError) {
    try Self.check(key, to: "remove")
    if let child = snapshots.first(where: { $0.value.parents.contains(key) })?.key {
      throw Self.refusal("remove", key, EBUSY, "the snapshot \(child) stands on it")
    }
    snapshots[key, default: Snapshot(kind: .removing)].kind = .removing
  }

  /// Nothing is left of it.
  mutating func removed(_ key: String) { snapshots[key] = nil }

  private static func check(_ key: String, to action: String) throws(SystemError) {
    guard isKey(key) else { throw refusal(action, key, EINVAL, "the key cannot be a folder's name") }
  }

  private static func refusal(_ action: String, _ key: String, _ errno: Int32, _ why: String) -> SystemError {
    SystemError("\(action) the snapshot \"\(key)\"", errno: errno, detail: why)
  }
}
