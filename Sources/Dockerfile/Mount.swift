extension Dockerfile.Mount {
  static let keys = [
    "type", "from", "source", "src", "target", "dst", "destination", "readonly", "ro", "readwrite", "rw", "id",
    "sharing", "required", "mode", "uid", "gid", "env", "size",
  ]

  /// Reads the value of one `--mount`.
  ///
  /// - Parameter expander: replaces variables. Without it, a value that holds a variable is only read as far as it can
  ///   be: the build graph needs `from`, which therefore must not hold one.
  static func parse(_ text: String, _ expander: inout Expander?) throws(DockerfileError) -> Dockerfile.Mount {
    var mount = Dockerfile.Mount(text: text)
    let fields = try csvFields(text)
    let isDeferred = expander == nil && text.contains("$")
    var sharing: Dockerfile.Mount.Sharing?
    var isReadOnly: Bool?

    func fail(_ message: String) -> DockerfileError { DockerfileError(.value, message) }
    func split(_ field: String) -> (key: String, value: String?) {
      guard let equals = field.firstIndex(of: "=") else { return (field.lowercased(), nil) }
      return (field[..<equals].lowercased(), String(field[field.index(after: equals)...]))
    }

    // What the other options mean hangs on the type, wherever it stands.
    for field in fields {
      let (key, raw) = split(field)
      guard key == "type", let raw else { continue }
      let name = try expander?.expand(raw) ?? raw
      if isDeferred, name.contains("$") { continue }
      guard let kind = Kind(rawValue: name.lowercased()) else {
        throw fail(
          "unsupported mount type \(quoted(name))"
            + Suggestion.phrase(for: name.lowercased(), among: Kind.allCases.map(\.rawValue)))
      }
      mount.kind = kind
    }

    for field in fields {
      let (key, raw) = split(field)
      guard let raw else {
        switch key {
        case "readonly", "ro": isReadOnly = true
        case "readwrite", "rw": isReadOnly = false
        case "required":
          guard mount.kind == .secret || mount.kind == .ssh || isDeferred else {
            throw fail("unexpected key 'required' for mount type '\(mount.kind.rawValue)'")
          }
          mount.isRequired = true
        default: throw fail("invalid field '\(field)' must be a key=value pair")
        }
        continue
      }
      if key == "from", expander == nil, raw.contains("$") {
        throw fail("'from' doesn't support variable expansion, define alias stage instead")
      }
      guard keys.contains(key) else {
        throw fail("unexpected key '\(key)' in '\(field)'" + Suggestion.phrase(for: key, among: keys))
      }
      let value = try expander?.expand(raw) ?? raw
      if isDeferred, value.contains("$") { continue }
      func bool() throws(DockerfileError) -> Bool {
        guard let flag = parseBool(value) else { throw fail("invalid value for \(key): \(value)") }
        return flag
      }
      func number(_ radix: Int) throws(DockerfileError) -> UInt32 {
        guard value.utf8.first?.isDigit == true, let number = UInt32(value, radix: radix) else {
          throw fail("invalid value \(value) for \(key)")
        }
        return number
      }
      switch key {
      case "type": break
      case "from": mount.from = value.isEmpty ? nil : value
      case "source", "src": mount.source = value.isEmpty ? nil : value
      case "target", "dst", "destination": mount.target = value.isEmpty ? nil : value
      case "readonly", "ro": isReadOnly = try bool()
      case "readwrite", "rw": isReadOnly = !(try bool())
      case "required":
        guard mount.kind == .secret || mount.kind == .ssh || isDeferred else {
          throw fail("unexpected key 'required' for mount type '\(mount.kind.rawValue)'")
        }
        mount.isRequired = try bool()
      case "size":
        guard mount.kind == .tmpfs || isDeferred else {
          throw fail("unexpected key 'size' for mount type '\(mount.kind.rawValue)'")
        }
        guard let size = parseSize(value) else { throw fail("invalid value for size: \(value)") }
        mount.sizeMax = size
      case "id": mount.id = value.isEmpty ? nil : value
      case "sharing":
        guard let mode = Sharing(rawValue: value.lowercased()) else {
          throw fail(
            "unsupported sharing value \(quoted(value))"
              + Suggestion.phrase(for: value.lowercased(), among: Sharing.allCases.map(\.rawValue)))
        }
        sharing = mode
      case "mode": mount.mode = try number(8)
      case "uid": mount.uid = try number(10)
      case "gid": mount.gid = try number(10)
      case "env":
        guard mount.kind == .secret || isDeferred else {
          throw fail("unexpected key 'env' for mount type '\(mount.kind.rawValue)'")
        }
        mount.environment = value.isEmpty ? nil : value
      default: break
      }
    }
    mount.isReadOnly = isReadOnly ?? (mount.kind != .cache && mount.kind != .tmpfs)
    mount.sharing = sharing ?? .shared
    if !isDeferred { try mount.validate(hasSharing: sharing != nil) }
    return mount
  }

  private func validate(hasSharing: Bool) throws(DockerfileError) {
    func fail(_ message: String) -> DockerfileError { DockerfileError(.value, message) }
    if kind == .bind || kind == .tmpfs {
      for (name, isSet) in [("mode", mode != nil), ("uid", uid != nil), ("gid", gid != nil)] where isSet {
        throw fail("\(name) not allowed for \(quoted(kind.rawValue)) type mounts")
      }
    }
    if kind == .secret {
      if from != nil { throw fail("secret mount should not have a from") }
      if hasSharing { throw fail("secret mount should not define sharing") }
      if source == nil, target == nil, id == nil {
        throw fail("invalid secret mount. one of source, target required")
      }
      if source != nil, id != nil { throw fail("both source and id can't be set") }
    }
    if hasSharing, kind != .cache { throw fail("invalid cache sharing set for \(kind.rawValue) mount") }
    if from != nil, kind == .ssh || kind == .tmpfs { throw fail("\(kind.rawValue) mount should not have a from") }
    if kind == .cache || kind == .tmpfs, target ?? "" == "" { throw fail("invalid mount target \"\"") }
    if let target, cleanPath(target) == "/" { throw fail("invalid mount target \(quoted(target))") }
  }

  /// The id of a cache, secret or ssh agent, with its default: a cache's cleaned target, a secret's file name,
  /// `default` for ssh.
  public var effectiveID: String {
    switch kind {
    case .cache: id ?? cleanPath(target ?? "/")
    case .secret: id ?? source ?? String((target ?? "").split(separator: "/").last ?? "")
    case .ssh: id ?? source ?? "default"
    case .bind, .tmpfs: id ?? ""
    }
  }

  /// Where it is mounted. Without a target, a secret is at `/run/secrets/<id>` or, if it is to be an environment
  /// variable, nowhere; the builder numbers the sockets of agents; anything else is mounted on the working directory.
  public var effectiveTarget: String? {
    if let target { return target }
    return switch kind {
    case .bind, .cache, .tmpfs: "."
    case .secret: environment == nil ? "/run/secrets/" + effectiveID : nil
    case .ssh: nil
    }
  }

  /// The mode of a new cache directory, secret file or agent socket, with its default.
  public var effectiveMode: UInt32 {
    switch kind {
    case .cache: mode ?? 0o755
    case .secret: mode ?? 0o400
    case .ssh: mode ?? 0o600
    case .bind, .tmpfs: mode ?? 0o755
    }
  }

  /// One record of RFC 4180: fields between commas, quoted ones may hold commas.
  static func csvFields(_ text: String) throws(DockerfileError) -> [String] {
    var fields: [String] = []
    var field: [UInt8] = []
    let bytes = Array(text.utf8)
    var at = 0
    var isQuoted = false
    while at < bytes.count {
      let byte = bytes[at]
      if isQuoted {
        if byte == Byte.doubleQuote {
          if at + 1 < bytes.count, bytes[at + 1] == Byte.doubleQuote {
            field.append(byte)
            at += 1
          } else {
            isQuoted = false
          }
        } else {
          field.append(byte)
        }
      } else if byte == Byte.doubleQuote, field.isEmpty {
        isQuoted = true
      } else if byte == UInt8(ascii: ",") {
        fields.append(field.text)
        field = []
      } else {
        field.append(byte)
      }
      at += 1
    }
    guard !isQuoted else { throw DockerfileError(.value, "a quote is not closed in \(quoted(text))") }
    fields.append(field.text)
    return fields
  }

  /// `64m`, `1.5GiB`, `1048576`: units are powers of 1024. `nil` when it is none.
  static func parseSize(_ text: String) -> Int64? {
    let lower = Array(text.lowercased().utf8)
    let digits = lower.prefix { $0.isDigit || $0 == UInt8(ascii: ".") }
    guard let number = Double(digits.text), !digits.isEmpty, digits.last != UInt8(ascii: ".") else { return nil }
    let exponent: Double
    switch lower[digits.count...].trimmed().text {
    case "", "b": exponent = 0
    case "k", "kb", "kib": exponent = 1
    case "m", "mb", "mib": exponent = 2
    case "g", "gb", "gib": exponent = 3
    case "t", "tb", "tib": exponent = 4
    case "p", "pb", "pib": exponent = 5
    default: return nil
    }
    var bytes = number
    for _ in 0..<Int(exponent) { bytes *= 1024 }
    guard bytes < 9.2e18 else { return nil }
    return Int64(bytes)
  }
}

extension Dockerfile.Run.Device {
  /// `NAME[,required]`: a CDI device, class or vendor.
  static func parse(_ text: String) throws(DockerfileError) -> Dockerfile.Run.Device {
    var device = Dockerfile.Run.Device(name: "", isRequired: false)
    for field in try Dockerfile.Mount.csvFields(text) {
      if field.lowercased() == "required" {
        device.isRequired = true
      } else if field.lowercased().hasPrefix("required=") {
        guard let isRequired = parseBool(String(field.dropFirst("required=".count))) else {
          throw DockerfileError(.value, "invalid value for required: \(field.dropFirst("required=".count))")
        }
        device.isRequired = isRequired
      } else if device.name.isEmpty {
        device.name = field.lowercased().hasPrefix("name=") ? String(field.dropFirst("name=".count)) : field
      } else {
        throw DockerfileError(.value, "unexpected key '\(field)' in '\(text)'")
      }
    }
    guard !device.name.isEmpty else { throw DockerfileError(.value, "--device needs the name of a device") }
    return device
  }
}

/// A path without `.`, `..` and repeated slashes, as Go's `path.Clean`; `.` for nothing.
func cleanPath(_ path: String) -> String {
  let isRooted = path.utf8.first == UInt8(ascii: "/")
  var parts: [Substring] = []
  for part in path.split(separator: "/", omittingEmptySubsequences: true) {
    if part == "." { continue }
    if part == ".." {
      if let last = parts.last, last != ".." {
        parts.removeLast()
      } else if !isRooted {
        parts.append(part)
      }
      continue
    }
    parts.append(part)
  }
  let joined = parts.joined(separator: "/")
  return isRooted ? "/" + joined : joined.isEmpty ? "." : joined
}
