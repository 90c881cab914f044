/// What a `resolv.conf` says (resolv.conf(5)): the machine's, a pod's, a build step's.
public struct ResolverConfiguration: Sendable, Equatable {
  /// In the order in which they are asked, as they are written.
  public var nameservers: [String]
  public var searches: [String]
  /// `ndots:5`.
  public var options: [String]

  public init(nameservers: [String] = [], searches: [String] = [], options: [String] = []) {
    self.nameservers = nameservers
    self.searches = searches
    self.options = options
  }

  /// Lines that are not understood are passed over; of several `search` or `options` lines the last one counts.
  public init(parsing text: [UInt8]) {
    self.init()
    for line in text.split(separator: 0x0a) {
      let words = line.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }.map { String(decoding: $0, as: UTF8.self) }
      guard let keyword = words.first, !keyword.hasPrefix("#"), !keyword.hasPrefix(";") else { continue }
      let values = Array(words.dropFirst())
      switch keyword {
      case "nameserver": nameservers += values.prefix(1)
      case "search", "domain": searches = values
      case "options": options = values
      default: break
      }
    }
  }

  /// The machine's own, as it is now: whoever runs on a laptop changes networks. Empty when it cannot be read. Blocks
  /// shortly.
  public init(file: String) {
    self.init(parsing: (try? DurableFile.read(file, limit: 1 << 20)) ?? [])
  }

  public var text: String {
    var text = nameservers.map { "nameserver \($0)\n" }.joined()
    if !searches.isEmpty { text += "search \(searches.joined(separator: " "))\n" }
    if !options.isEmpty { text += "options \(options.joined(separator: " "))\n" }
    return text
  }
}
