import Wire

/// The rules for names, in the words of Kubernetes (`apimachinery/pkg/util/validation`). Each gives what is wrong, or
/// nothing.
public enum Names {
  private static func isLower(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "a") && byte <= UInt8(ascii: "z") }
  private static func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
  private static func isLetter(_ byte: UInt8) -> Bool { isLower(byte | 0x20) }
  private static func isAlphanumeric(_ byte: UInt8) -> Bool { isLetter(byte) || isDigit(byte) }

  private static func isLabel(_ bytes: some BidirectionalCollection<UInt8>) -> Bool {
    guard let first = bytes.first, let last = bytes.last else { return false }
    return (isLower(first) || isDigit(first)) && (isLower(last) || isDigit(last))
      && bytes.allSatisfy { isLower($0) || isDigit($0) || $0 == UInt8(ascii: "-") }
  }

  /// Labels with dots between them.
  private static func isSubdomain(_ bytes: some Collection<UInt8>) -> Bool {
    let (dot, hyphen) = (UInt8(ascii: "."), UInt8(ascii: "-"))
    var previous = dot
    for byte in bytes {
      switch byte {
      case dot: if previous == dot || previous == hyphen { return false }
      case hyphen: if previous == dot { return false }
      default: guard isLower(byte) || isDigit(byte) else { return false }
      }
      previous = byte
    }
    return previous != dot && previous != hyphen
  }

  /// RFC 1123 label: pods' host names, namespaces.
  public static func dns1123Label(_ name: String) -> [String] {
    var problems = lengthProblem(name, 63)
    if !isLabel(name.utf8) {
      problems.append(
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
          + "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
          + "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')")
    }
    return problems
  }

  /// RFC 1123 subdomain: what most objects are called.
  public static func dns1123Subdomain(_ name: String) -> [String] {
    var problems = lengthProblem(name, 253)
    if !isSubdomain(name.utf8) {
      problems.append(
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
          + "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
          + "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")
    }
    return problems
  }

  /// RFC 1035 label: services.
  public static func dns1035Label(_ name: String) -> [String] {
    var problems = lengthProblem(name, 63)
    if !isLabel(name.utf8) || !(name.utf8.first.map(isLower) ?? false) {
      problems.append(
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
          + "character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for "
          + "validation is '[a-z]([-a-z0-9]*[a-z0-9])?')")
    }
    return problems
  }

  /// What may stand between two slashes of a URL: roles and their bindings.
  public static func pathSegment(_ name: String) -> [String] {
    if name == "." || name == ".." { return ["may not be '\(name)'"] }
    return ["/", "%"].filter { name.contains($0) }.map { "may not contain '\($0)'" }
  }

  /// Keys of labels and annotations: `[PREFIX/]NAME`.
  public static func qualifiedName(_ key: String) -> [String] {
    if isQualifiedName(key.utf8) { return [] }
    let parts = key.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    var problems: [String] = []
    let name: String
    switch parts.count {
    case 1: name = parts[0]
    case 2:
      name = parts[1]
      if parts[0].isEmpty {
        problems.append("prefix part must be non-empty")
      } else {
        problems += dns1123Subdomain(parts[0]).map { "prefix part " + $0 }
      }
    default:
      return [
        "a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
          + "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
          + "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' "
          + "(e.g. 'example.com/MyName')"
      ]
    }
    if name.isEmpty {
      problems.append("name part must be non-empty")
    } else if name.utf8.count > 63 {
      problems.append("name part must be no more than 63 bytes")
    }
    if !isQualified(name.utf8) {
      problems.append(
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
          + "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
          + "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')")
    }
    return problems
  }

  /// Whether a qualified name is as it should be; the words for what is wrong take longer to find.
  private static func isQualifiedName(_ key: String.UTF8View) -> Bool {
    guard let slash = key.firstIndex(of: UInt8(ascii: "/")) else { return key.count <= 63 && isQualified(key) }
    let (prefix, name) = (key[..<slash], key[key.index(after: slash)...])
    return prefix.count <= 253 && isSubdomain(prefix) && name.count <= 63 && isQualified(name)
  }

  private static func isQualified(_ name: some BidirectionalCollection<UInt8>) -> Bool {
    guard let first = name.first, let last = name.last else { return false }
    return isAlphanumeric(first) && isAlphanumeric(last)
      && name.allSatisfy {
        isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
      }
  }

  public static func labelValue(_ value: String) -> [String] {
    var problems = lengthProblem(value, 63)
    if !value.isEmpty, !isQualified(value.utf8) {
      problems.append(
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
          + "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
          + "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')")
    }
    return problems
  }

  /// Keys of ConfigMaps and Secrets, which become file names.
  public static func configKey(_ key: String) -> [String] {
    var problems = lengthProblem(key, 253)
    let isValid =
      !key.isEmpty
      && key.utf8.allSatisfy {
        isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") || $0 == UInt8(ascii: ".")
      }
    if !isValid {
      problems.append(
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
          + "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')")
    }
    // The names of the folders that a volume's files are swapped by begin with two dots.
    switch key {
    case ".": problems.append("must not be '.'")
    case "..": problems.append("must not be '..'")
    default: if key.hasPrefix("..") { problems.append("must not start with '..'") }
    }
    return problems
  }

  /// Kernel parameters: segments with dots or slashes between them.
  public static func sysctl(_ name: String) -> [String] {
    let separators: Set<UInt8> = [UInt8(ascii: "."), UInt8(ascii: "/")]
    let segments = name.utf8.split(omittingEmptySubsequences: false, whereSeparator: separators.contains)
    let isValid =
      name.utf8.count <= 253
      && segments.allSatisfy { segment in
        guard let first = segment.first, let last = segment.last else { return false }
        return (isLower(first) || isDigit(first)) && (isLower(last) || isDigit(last))
          && segment.allSatisfy {
            isLower($0) || isDigit($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_")
          }
      }
    return isValid
      ? []
      : [
        "must have at most 253 characters and match regex "
          + "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
      ]
  }

  /// Environment variables (KEP-4369: every printable ASCII character but `=`).
  public static func environmentVariable(_ name: String) -> [String] {
    let isValid = !name.isEmpty && name.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "=") }
    return isValid
      ? [] : ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
  }

  /// Names of ports (RFC 6335, section 5.1).
  public static func portName(_ name: String) -> [String] {
    var problems: [String] = []
    if name.utf8.count > 15 { problems.append("must be no more than 15 characters") }
    if !name.utf8.allSatisfy({ isLower($0) || isDigit($0) || $0 == UInt8(ascii: "-") }) {
      problems.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    }
    if !name.utf8.contains(where: isLower) { problems.append("must contain at least one letter (a-z)") }
    if name.contains("--") { problems.append("must not contain consecutive hyphens") }
    if name.hasPrefix("-") || name.hasSuffix("-") { problems.append("must not begin or end with a hyphen") }
    return problems
  }

  /// An IPv4 address in dotted decimal, or an IPv6 address.
  public static func isIPAddress(_ text: String) -> Bool { IPAddress(text) != nil }

  public static func isIPv4(_ text: String) -> Bool { IPAddress(text)?.family == .ipv4 }

  public static func isIPv6(_ text: String) -> Bool { IPAddress(text)?.family == .ipv6 }

  /// An address range such as `10.0.0.0/16`.
  public static func isCIDR(_ text: String) -> Bool {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    guard parts.count == 2, !parts[1].isEmpty, parts[1].utf8.allSatisfy(isDigit), let bits = Int(parts[1]),
      let address = IPAddress(parts[0])
    else { return false }
    return bits <= address.family.bits
  }

  private static func lengthProblem(_ text: String, _ bytesMax: Int) -> [String] {
    text.utf8.count > bytesMax ? ["must be no more than \(bytesMax) bytes"] : []
  }
}
