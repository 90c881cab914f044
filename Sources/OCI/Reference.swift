/// The name of an image: registry, repository, and tag or digest
/// (github.com/distribution/reference, the grammar that Docker and Kubernetes use).
///
/// Short names are completed as Docker does: `nginx` is `docker.io/library/nginx:latest`, `me/app` is
/// `docker.io/me/app:latest`; a first part with a dot, a colon, or equal to `localhost`, is a registry.
public struct Reference: Sendable, Hashable, CustomStringConvertible {
  /// Host, and port if any.
  public var registry: String
  /// The path below the registry: `library/nginx`.
  public var repository: String
  /// `nil` only when there is a digest.
  public var tag: String?
  public var digest: Digest?

  /// Parses and completes a reference.
  public init(parsing text: String) throws(OCIError) {
    func invalid(_ why: String) -> OCIError {
      OCIError(.invalidReference, "\"\(text.prefix(300))\" is not a valid image name: \(why)")
    }
    guard !text.isEmpty else { throw OCIError(.invalidReference, "the image name is empty") }
    var rest = Substring(text)
    if let at = rest.firstIndex(of: "@") {
      let digestText = rest[rest.index(after: at)...]
      guard let digest = Digest(digestText) else {
        throw invalid("after '@' comes a digest: sha256: and 64 hexadecimal digits in lower case")
      }
      self.digest = digest
      rest = rest[..<at]
    }
    // A colon after the last slash starts the tag; one before it belongs to the registry's port.
    let lastSlash = rest.lastIndex(of: "/")
    if let colon = rest[(lastSlash ?? rest.startIndex)...].lastIndex(of: ":") {
      let tag = rest[rest.index(after: colon)...]
      guard Reference.isTag(tag) else {
        throw invalid("a tag is up to 128 letters, digits, '_', '.' and '-', and starts with none of '.' and '-'")
      }
      self.tag = String(tag)
      rest = rest[..<colon]
    }
    if let slash = rest.firstIndex(of: "/"), Reference.isRegistry(rest[..<slash]) {
      registry = String(rest[..<slash])
      repository = String(rest[rest.index(after: slash)...])
      guard Reference.isDomain(registry) else {
        throw invalid("\"\(registry)\" is no host name, optionally with a port")
      }
    } else {
      registry = "docker.io"
      repository = String(rest)
    }
    if registry == "index.docker.io" { registry = "docker.io" }
    if registry == "docker.io", !repository.contains("/") { repository = "library/" + repository }
    if tag == nil, digest == nil { tag = "latest" }

    let isShortName = !text.contains("/") && !text.contains("@")
    if isShortName, rest.utf8.count == 64, Digest.isHex(rest), digest == nil {
      throw invalid("64 hexadecimal digits are an image id, not a name")
    }
    guard repository.utf8.count <= 255 else { throw invalid("the name is longer than 255 characters") }
    for component in repository.split(separator: "/", omittingEmptySubsequences: false) {
      if component.utf8.contains(where: { (0x41...0x5A).contains($0) }) {
        throw invalid("the repository must be in lower case")
      }
      guard Reference.isPathComponent(component) else {
        throw invalid(
          "\"\(component)\" must consist of lower-case letters and digits, separated by '.', '_', '__' or '-'")
      }
    }
  }

  /// `registry/repository`.
  public var name: String { "\(registry)/\(repository)" }

  public var description: String {
    var text = name
    if let tag { text += ":\(tag)" }
    if let digest { text += "@\(digest)" }
    return text
  }

  /// As people write it: without `docker.io/` and `library/`.
  public var familiar: String {
    guard registry == "docker.io" else { return description }
    let text = description.dropFirst("docker.io/".count)
    return String(text.hasPrefix("library/") ? text.dropFirst("library/".count) : text)
  }

  private static func isRegistry(_ text: Substring) -> Bool {
    text == "localhost" || text.contains(".") || text.contains(":") || text.contains { $0.isUppercase }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20)
  }

  private static func isDomain(_ text: String) -> Bool {
    var host = Substring(text)
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else { return false }
      let inside = text[text.index(after: text.startIndex)..<end]
      guard inside.utf8.allSatisfy({ $0 == 0x3A || (0x30...0x39).contains($0) || (0x61...0x66).contains($0 | 0x20) })
      else { return false }
      let after = text[text.index(after: end)...]
      return after.isEmpty || isPort(after)
    }
    if let colon = host.firstIndex(of: ":") {
      guard isPort(host[colon...]) else { return false }
      host = host[..<colon]
    }
    return host.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
      guard let first = label.utf8.first, let last = label.utf8.last else { return false }
      return isAlphanumeric(first) && isAlphanumeric(last)
        && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
    }
  }

  private static func isPort(_ text: Substring) -> Bool {
    let digits = text.dropFirst()
    return text.first == ":" && !digits.isEmpty && digits.utf8.count <= 5
      && digits.utf8.allSatisfy { (0x30...0x39).contains($0) }
  }

  /// Whether it can be a tag (OCI distribution specification, "Pulling manifests").
  package static func isTag(_ text: Substring) -> Bool {
    guard let first = text.utf8.first, text.utf8.count <= 128, isAlphanumeric(first) || first == UInt8(ascii: "_")
    else {
      return false
    }
    return text.utf8.allSatisfy {
      isAlphanumeric($0) || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "-")
    }
  }

  /// Letters and digits, between them single dots, one or two underscores, or any number of hyphens.
  private static func isPathComponent(_ text: Substring) -> Bool {
    let bytes = Array(text.utf8)
    guard let first = bytes.first, let last = bytes.last, isAlphanumeric(first), isAlphanumeric(last) else {
      return false
    }
    var at = 0
    while at < bytes.count {
      if isAlphanumeric(bytes[at]) {
        at += 1
        continue
      }
      let start = at
      while at < bytes.count, bytes[at] == bytes[start] { at += 1 }
      switch bytes[start] {
      case UInt8(ascii: "-"): break
      case UInt8(ascii: "."): if at - start > 1 { return false }
      case UInt8(ascii: "_"): if at - start > 2 { return false }
      default: return false
      }
      guard at < bytes.count, isAlphanumeric(bytes[at]) else { return false }
    }
    return true
  }
}
