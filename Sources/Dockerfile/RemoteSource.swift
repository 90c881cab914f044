/// A source of `ADD` that is not in the build context: a URL, or a git repository.
///
/// A repository is what has the scheme `git` or `ssh`, the form `user@host:path`, or a path that ends in `.git` under
/// `http(s)`. A fragment `#ref:folder` or the query `?ref=…&subdir=…` says which part of it.
public enum RemoteSource: Sendable, Equatable {
  case http(String)
  case git(GitReference)

  public struct GitReference: Sendable, Equatable {
    /// What `git fetch` takes, without fragment and without the query's own keys.
    public var remote: String
    /// A branch, tag or commit; `nil` for the default branch.
    public var ref: String?
    /// Without slashes at its ends.
    public var subdirectory: String?
    /// The commit, or the beginning of its hash, that `ref` must be.
    public var checksum: String?
    /// `nil`: with submodules.
    public var submodules: Bool?
    public var keepGitDirectory: Bool?
  }

  /// `nil` for a path.
  public init?(_ text: String) {
    let lower = text.lowercased()
    if lower.hasPrefix("http://") || lower.hasPrefix("https://") {
      let path = text.prefix { $0 != "#" && $0 != "?" }
      let isRepository = path.hasSuffix(".git") || path.hasSuffix(".git/")
      self = isRepository ? .git(RemoteSource.reference(text)) : .http(text)
      return
    }
    if lower.hasPrefix("git://") || lower.hasPrefix("ssh://") {
      self = .git(RemoteSource.reference(text))
      return
    }
    guard RemoteSource.isSecureCopyForm(text) else { return nil }
    self = .git(RemoteSource.reference(text))
  }

  /// `user@host:path`.
  private static func isSecureCopyForm(_ text: String) -> Bool {
    guard let at = text.firstIndex(of: "@"), let colon = text[at...].firstIndex(of: ":") else { return false }
    let user = text[..<at]
    let host = text[text.index(after: at)..<colon]
    func isWord(_ part: Substring) -> Bool {
      !part.isEmpty
        && part.utf8.allSatisfy {
          $0.isLetter || $0.isDigit || $0 == Byte.dash || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
        }
    }
    return isWord(user) && isWord(host) && text.index(after: colon) < text.endIndex
  }

  private static func reference(_ text: String) -> GitReference {
    var remote = text[...]
    var reference = GitReference(remote: "")
    if let hash = remote.firstIndex(of: "#") {
      let fragment = remote[remote.index(after: hash)...]
      remote = remote[..<hash]
      let parts = fragment.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      if let ref = parts.first, !ref.isEmpty { reference.ref = String(ref) }
      if parts.count == 2 { reference.subdirectory = folder(parts[1]) }
    }
    if let question = remote.firstIndex(of: "?") {
      var rest: [Substring] = []
      for item in remote[remote.index(after: question)...].split(separator: "&") {
        let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let value = parts.count == 2 ? decoded(parts[1]) : ""
        switch parts[0] {
        case "ref", "tag", "branch", "commit": reference.ref = value.isEmpty ? nil : value
        case "subdir": reference.subdirectory = folder(value[...])
        case "checksum": reference.checksum = value.isEmpty ? nil : value
        case "submodules": reference.submodules = value.isEmpty ? true : parseBool(value)
        case "keep-git-dir": reference.keepGitDirectory = value.isEmpty ? true : parseBool(value)
        default: rest.append(item)
        }
      }
      remote = remote[..<question]
      reference.remote = String(remote) + (rest.isEmpty ? "" : "?" + rest.joined(separator: "&"))
    } else {
      reference.remote = String(remote)
    }
    return reference
  }

  private static func folder(_ text: Substring) -> String? {
    let clean = cleanPath("/" + text).dropFirst()
    return clean.isEmpty ? nil : String(clean)
  }

  /// Percent-decoding (RFC 3986, section 2.1).
  private static func decoded(_ text: Substring) -> String {
    var result: [UInt8] = []
    let bytes = Array(text.utf8)
    var at = 0
    while at < bytes.count {
      if bytes[at] == UInt8(ascii: "%"), at + 2 < bytes.count,
        let byte = UInt8(bytes[(at + 1)...(at + 2)].text, radix: 16)
      {
        result.append(byte)
        at += 3
      } else {
        result.append(bytes[at])
        at += 1
      }
    }
    return result.text
  }

  /// The file name under which a URL is stored in a directory: the last part of its path. `nil` when it has none.
  public static func fileName(of url: String) -> String? {
    let parts = url.prefix { $0 != "#" && $0 != "?" }.split(separator: "/", omittingEmptySubsequences: false)
    // `https:`, nothing, the host, and then the path.
    guard parts.count > 3, let last = parts.last, !last.isEmpty else { return nil }
    let name = decoded(last)
    return name == "." || name == ".." || name.contains("/") || name.utf8.contains(0) ? nil : name
  }
}

extension RemoteSource {
  /// A text without the users and passwords of the addresses in it: `https://user:password@host/` becomes
  /// `https://host/`. The user of other schemes stays (`ssh://git@host`), a password goes.
  public static func withoutCredentials(_ text: String) -> String {
    let bytes = Array(text.utf8)
    var result: [UInt8] = []
    var at = 0
    while at < bytes.count {
      guard bytes[at...].starts(with: Array("://".utf8)) else {
        result.append(bytes[at])
        at += 1
        continue
      }
      let isWeb = ["http", "https"].contains { scheme in
        result.count >= scheme.utf8.count && result.suffix(scheme.utf8.count).text.lowercased() == scheme
      }
      let start = at + 3
      // An authority ends there (RFC 3986, section 3.2), and an address in a sentence or a command with its word.
      var end = bytes[start...].firstIndex { " \t\r\n/?#\"'<>`\\".utf8.contains($0) } ?? bytes.count
      // Another address begins in it: its turn comes.
      if end > start, bytes[(end - 1)...].starts(with: Array("://".utf8)) { end -= 1 }
      result += bytes[at..<start]
      let authority = bytes[start..<end]
      if let sign = authority.lastIndex(of: UInt8(ascii: "@")) {
        if !isWeb { result += authority[..<sign].prefix { $0 != UInt8(ascii: ":") } + [UInt8(ascii: "@")] }
        result += authority[(sign + 1)...]
      } else {
        result += authority
      }
      at = end
    }
    return result.text
  }
}

extension RemoteSource.GitReference {
  /// The address for people.
  public var shown: String { RemoteSource.withoutCredentials(remote) }

  /// The address without user and password, and with them, when it is `http(s)` and has them.
  public var credentials: (without: String, with: String)? {
    guard remote.lowercased().hasPrefix("http") else { return nil }
    let without = RemoteSource.withoutCredentials(remote)
    return without == remote ? nil : (without, remote)
  }
}

extension Dockerfile {
  /// The ports of `EXPOSE`.
  public enum ExposedPort {
    /// The ports that one word names, as the image configuration has them: `8000-8001/udp` is `8000/udp`, `8001/udp`.
    public static func parse(_ text: String) throws(DockerfileError) -> [String] {
      func fail(_ why: String) -> DockerfileError {
        DockerfileError(.value, "invalid containerPort: \(text): \(why)")
      }
      let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
      let proto = parts.count == 2 && !parts[1].isEmpty ? parts[1].lowercased() : "tcp"
      guard ["tcp", "udp", "sctp"].contains(proto) else { throw fail("the protocol is tcp, udp or sctp") }
      // An address or a port of the host says nothing about an image; only the container's port counts.
      let words = parts[0].split(separator: ":", omittingEmptySubsequences: false)
      guard let container = words.last, !container.isEmpty else { throw fail("no port specified") }
      let bounds = container.split(separator: "-", omittingEmptySubsequences: false)
      guard bounds.count <= 2, let first = bounds.first, let low = UInt16(first), low > 0,
        let last = bounds.last, let high = UInt16(last)
      else { throw fail("a port is a number from 1 to 65535, or two with a dash between them") }
      guard low <= high else { throw fail("the range ends before it starts") }
      return (low...high).map { "\($0)/\(proto)" }
    }
  }
}
