import Glibc

/// Who listens on the TCP ports of this process's network namespace, as the kernel tells it (proc(5), `/proc/net/tcp`).
public enum TCPListeners {
  public struct Process: Sendable, Equatable {
    public var processID: Int32
    /// The program's name, as `ps` shows it.
    public var name: String
  }

  /// Every port that somebody listens on, on whichever address.
  public static func ports() -> Set<Int> { Set(sockets().map(\.port)) }

  /// The processes that have a socket which listens on a port, as far as they can be seen from here. A socket may be
  /// several processes', such as a service manager's and that of the service.
  public static func processes(on port: Int) -> [Process] {
    let links = Set(sockets().filter { $0.port == port }.map { "socket:[\($0.inode)]" })
    guard !links.isEmpty else { return [] }
    return ((try? Directory.list("/proc")) ?? []).compactMap { name in
      guard let processID = Int32(name), has(processID, links) else { return nil }
      let program = (try? DurableFile.read("/proc/\(processID)/comm", limit: 64)) ?? []
      return Process(processID: processID, name: String(decoding: program.prefix { $0 != 0x0a }, as: UTF8.self))
    }
  }

  /// Whether one of a process's descriptors is one of these.
  private static func has(_ processID: Int32, _ links: Set<String>) -> Bool {
    ((try? Directory.list("/proc/\(processID)/fd")) ?? []).contains { descriptor in
      var target = [CChar](repeating: 0, count: 64)
      let count = readlink("/proc/\(processID)/fd/\(descriptor)", &target, target.count)
      guard count > 0 else { return false }
      return links.contains(String(decoding: target[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }
  }

  private static func sockets() -> [(port: Int, inode: UInt64)] {
    ["/proc/net/tcp", "/proc/net/tcp6"].flatMap { path in
      (try? DurableFile.read(path, limit: 16 << 20)).map(parse) ?? []
    }
  }

  /// Lines of `0: 0100007F:192B 00000000:0000 0A …`: the state 0A is LISTEN, the tenth field is the socket's inode.
  static func parse(_ bytes: [UInt8]) -> [(port: Int, inode: UInt64)] {
    bytes.split(separator: 0x0a).compactMap { line in
      let fields = line.split(separator: 0x20)
      guard fields.count > 9, fields[3].elementsEqual("0A".utf8), let colon = fields[1].lastIndex(of: 0x3a),
        let port = UInt16(String(decoding: fields[1][(colon + 1)...], as: UTF8.self), radix: 16),
        let inode = UInt64(String(decoding: fields[9], as: UTF8.self))
      else { return nil }
      return (Int(port), inode)
    }
  }
}
