import Glibc
public import LinuxSystem

/// Says whose a folder is: a small file `cluster` in it. The folders of one data directory carry the same one, so that a
/// folder that is lost, emptied or exchanged is told from one that is new.
///
/// ```
/// apus cluster 5f0c…
/// path /var/lib/apus
/// key ca.crt 9a31…
/// filled
/// sum 1b6e03f2
/// ```
///
/// The last line is the checksum of those before it.
public struct ClusterMark: Sendable, Equatable {
  /// A random id, given when the data directory is first filled.
  public var cluster: String
  /// The data directory, where the mark tells of something outside of it.
  public var path: String?
  /// Fingerprints of the keys that the cluster was made with, by their files.
  public var keys: [String: String]
  /// Whether everything was made that a cluster begins with. Until then nothing has been served, and nothing can be lost.
  public var isFilled: Bool

  public init(cluster: String, path: String? = nil, keys: [String: String] = [:], isFilled: Bool) {
    self.cluster = cluster
    self.path = path
    self.keys = keys
    self.isFilled = isFilled
  }

  static let fileName = "cluster"

  public static func file(in folder: String) -> String { "\(folder)/\(fileName)" }

  enum Reading: Equatable {
    case absent
    /// It is there and is no mark: empty, cut, changed.
    case unreadable
    case mark(ClusterMark)

    var mark: ClusterMark? { if case .mark(let mark) = self { mark } else { nil } }
  }

  static func read(in folder: String) -> Reading {
    do throws(SystemError) {
      return ClusterMark(try DurableFile.read(file(in: folder), limit: 1 << 14)).map { .mark($0) } ?? .unreadable
    } catch {
      return error.isAbsent ? .absent : .unreadable
    }
  }

  /// Makes the folder where it is missing. Durable when it returns; nothing is written when it is there as it should be.
  public func write(in folder: String) throws(SystemError) {
    if Self.read(in: folder) == .mark(self) { return }
    try Directory.create(folder, mode: 0o700)
    try DurableFile.write(bytes, to: Self.file(in: folder), mode: 0o600)
  }

  private static let title = "apus cluster "

  var bytes: [UInt8] {
    var text = "\(Self.title)\(cluster)\n"
    if let path { text += "path \(path)\n" }
    for (file, print) in keys.sorted(by: { $0.key < $1.key }) { text += "key \(file) \(print)\n" }
    if isFilled { text += "filled\n" }
    return Array((text + "sum \(String(Checksum(Array(text.utf8)).value, radix: 16))\n").utf8)
  }

  init?(_ bytes: [UInt8]) {
    var lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")[...]
    guard let first = lines.popFirst(), first.hasPrefix(Self.title) else { return nil }
    self.init(cluster: String(first.dropFirst(Self.title.count)), isFilled: false)
    for line in lines {
      let words = line.split(separator: " ", maxSplits: 2)
      switch (words.first, words.count) {
      case ("path", _): path = String(line.dropFirst("path ".count))
      case ("key", 3): keys[String(words[1])] = String(words[2])
      case ("filled", 1): isFilled = true
      default: continue
      }
    }
    // The one way to write it, its checksum included.
    guard !cluster.isEmpty, self.bytes == bytes else { return nil }
  }
}

extension SystemError {
  /// Whether there is nothing of that name.
  var isAbsent: Bool { errno == ENOENT || errno == ENOTDIR }
}
