/// A line of `/proc/PID/mountinfo` (proc_pid_mountinfo(5)).
public struct MountInfo: Sendable, Equatable {
  public var id: Int
  public var parent: Int
  /// `major:minor`.
  public var device: String
  /// The folder of the file system that is the root of this mount.
  public var root: String
  /// To be printed: names that are not UTF-8 are not whole in it.
  public var mountPoint: String
  public var mountPointBytes: [UInt8]
  public var options: [String]
  /// `shared:2`, `master:1` and so on; empty for a private mount.
  public var propagation: [String]
  public var type: String
  public var source: String
  public var superOptions: [String]

  /// The mounts of this process's mount namespace, in the order in which they were made.
  public static func current() throws(SystemError) -> [MountInfo] {
    let bytes = try DurableFile.read("/proc/self/mountinfo", limit: 64 << 20)
    return bytes.split(separator: UInt8(ascii: "\n")).compactMap { MountInfo(line: $0) }
  }

  public func isAtOrBelow(_ path: String) -> Bool {
    guard mountPointBytes.starts(with: path.utf8) else { return false }
    if path == "/" { return true }
    return mountPointBytes.count == path.utf8.count || mountPointBytes[path.utf8.count] == UInt8(ascii: "/")
  }

  /// Parses one line without its line feed; `nil` when it is not of that form.
  public init?(line: some Collection<UInt8>) {
    let fields = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
    guard let separator = fields.dropFirst(6).firstIndex(where: { $0.elementsEqual([UInt8(ascii: "-")]) }),
      fields.count > separator + 3
    else { return nil }
    func text(_ index: Int) -> String { String(decoding: MountInfo.unescape(fields[index]), as: UTF8.self) }
    func list(_ index: Int) -> [String] { text(index).split(separator: ",").map(String.init) }
    guard let id = Int(text(0)), let parent = Int(text(1)) else { return nil }
    self.id = id
    self.parent = parent
    device = text(2)
    root = text(3)
    mountPointBytes = MountInfo.unescape(fields[4])
    mountPoint = String(decoding: mountPointBytes, as: UTF8.self)
    options = list(5)
    propagation = (6..<separator).map(text)
    type = text(separator + 1)
    source = text(separator + 2)
    superOptions = list(separator + 3)
  }

  /// Space, tab, line feed and backslash are written as three octal digits after a backslash.
  static func unescape(_ field: some Collection<UInt8>) -> [UInt8] {
    let bytes = Array(field)
    guard bytes.contains(UInt8(ascii: "\\")) else { return bytes }
    var result: [UInt8] = []
    var at = 0
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "\\"), at + 3 < bytes.count,
        bytes[at + 1...at + 3].allSatisfy({ (0x30...0x37).contains($0) }),
        let value = UInt8(String(decoding: bytes[at + 1...at + 3], as: UTF8.self), radix: 8)
      {
        result.append(value)
        at += 4
      } else {
        result.append(bytes[at])
        at += 1
      }
    }
    return result
  }
}
