import Wire

/// What a program runs on, as Go names it: `linux/amd64`, `linux/arm/v7` (OCI image index, "platform").
///
/// Always in the normal form: `x86_64` is `amd64`, `aarch64` is `arm64`, and what goes without saying is left out
/// (`v8` of `arm64`, `v1` of `amd64`) or written (`v7` of `arm`).
public struct Platform: Sendable, Hashable, CustomStringConvertible {
  public let os: String
  public let architecture: String
  /// `v7`; empty when there is none.
  public let variant: String
  /// Only Windows has them.
  public let osVersion: String
  public let osFeatures: [String]

  public init(os: String, architecture: String, variant: String = "", osVersion: String = "", osFeatures: [String] = [])
  {
    let os = os.lowercased()
    self.os = os == "macos" ? "darwin" : os
    (self.architecture, self.variant) = Platform.normal(architecture.lowercased(), variant.lowercased())
    self.osVersion = osVersion
    self.osFeatures = osFeatures
  }

  /// Parses `os/architecture/variant`, `os/architecture`, or one of them alone: the other one is then this machine's.
  public init(parsing text: String) throws(OCIError) {
    func invalid(_ why: String) -> OCIError {
      OCIError(
        .invalidPlatform, "\"\(text.prefix(100))\" is no platform: \(why); write it as linux/amd64 or linux/arm/v7")
    }
    let parts = text.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false).map(String.init)
    guard parts.count <= 3 else { throw invalid("it has more than three parts") }
    for part in parts {
      let isValid = part.utf8.allSatisfy { byte in
        (0x30...0x39).contains(byte) || (0x61...0x7A).contains(byte | 0x20) || [0x5F, 0x2E, 0x2D].contains(byte)
      }
      guard isValid, (1...32).contains(part.utf8.count) else {
        throw invalid("\"\(part.prefix(40))\" must have 1 to 32 letters, digits, '_', '.' and '-'")
      }
    }
    switch parts.count {
    case 1:
      let name = parts[0].lowercased()
      let (architecture, variant) = Platform.normal(name, "")
      if Platform.systems.contains(name) {
        self.init(os: name, architecture: Platform.host.architecture, variant: Platform.host.variant)
      } else if Platform.architectures.contains(architecture) {
        self.init(os: "linux", architecture: architecture, variant: variant)
      } else {
        throw invalid("no operating system and no architecture is called so")
      }
    case 2: self.init(os: parts[0], architecture: parts[1])
    default: self.init(os: parts[0], architecture: parts[1], variant: parts[2])
    }
  }

  /// This machine.
  public static let host: Platform = {
    #if arch(x86_64)
      Platform(os: "linux", architecture: "amd64")
    #elseif arch(arm64)
      Platform(os: "linux", architecture: "arm64")
    #else
      Platform(os: "linux", architecture: "unknown")
    #endif
  }()

  public var description: String { variant.isEmpty ? "\(os)/\(architecture)" : "\(os)/\(architecture)/\(variant)" }

  /// How well a program for `other` runs on this platform: `nil` when it does not, and of several the largest is best.
  ///
  /// A newer variant of an architecture runs what is made for an older one.
  public func rank(of other: Platform) -> Int? {
    guard os == other.os, architecture == other.architecture else { return nil }
    if variant == other.variant { return 1000 }
    guard let own = level, let level = other.level, level <= own else { return nil }
    return level
  }

  /// The position of the platform that suits best; `nil` when none does.
  public func best(of candidates: [Platform]) -> Int? {
    var best: (position: Int, rank: Int)?
    for (position, candidate) in candidates.enumerated() {
      guard let rank = rank(of: candidate), rank > best?.rank ?? -1 else { continue }
      best = (position, rank)
    }
    return best?.position
  }

  /// The number of the variant, which architectures count upward.
  private var level: Int? {
    switch (architecture, variant) {
    case ("amd64", ""): 1
    case ("arm64", ""): 8
    case ("amd64", _), ("arm64", _), ("arm", _): variant.hasPrefix("v") ? Int(variant.dropFirst()) : nil
    default: nil
    }
  }

  private static let systems: Set<String> = [
    "aix", "android", "darwin", "dragonfly", "freebsd", "illumos", "ios", "js", "linux", "macos", "netbsd", "openbsd",
    "plan9", "solaris", "wasip1", "windows",
  ]
  private static let architectures: Set<String> = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64",
    "s390x", "wasm",
  ]

  private static func normal(_ architecture: String, _ variant: String) -> (String, String) {
    switch architecture {
    case "i386", "i486", "i586", "i686", "x86": ("386", "")
    case "x86_64", "x86-64", "amd64": ("amd64", variant == "v1" ? "" : variant)
    case "aarch64", "arm64": ("arm64", variant == "8" || variant == "v8" ? "" : variant)
    case "armhf": ("arm", "v7")
    case "armel": ("arm", "v6")
    case "arm":
      switch variant {
      case "", "7": ("arm", "v7")
      case "5", "6", "8": ("arm", "v" + variant)
      default: ("arm", variant)
      }
    default: (architecture, variant)
    }
  }
}

extension Platform {
  /// The `platform` member of a descriptor; `nil` when it does not say both system and architecture.
  init?(json: JSON) {
    guard let os = json["os"]?.string, let architecture = json["architecture"]?.string, !os.isEmpty,
      !architecture.isEmpty
    else { return nil }
    self.init(
      os: os, architecture: architecture, variant: json["variant"]?.string ?? "",
      osVersion: json["os.version"]?.string ?? "",
      osFeatures: json["os.features"]?.array?.compactMap(\.string) ?? [])
  }

  /// As an image index has it.
  public var json: JSON {
    var json: JSON = ["architecture": .string(architecture), "os": .string(os)]
    if !osVersion.isEmpty { json["os.version"] = .string(osVersion) }
    if !osFeatures.isEmpty { json["os.features"] = .array(osFeatures.map { .string($0) }) }
    if !variant.isEmpty { json["variant"] = .string(variant) }
    return json
  }
}
