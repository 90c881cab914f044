import Schema
public import Wire

/// A whole number or a string, such as a port by number or name, or `25%` (`intstr.IntOrString`).
public enum IntOrString: Sendable, Hashable {
  case int(Int64)
  case string(String)

  public init?(json: JSON) {
    switch json {
    case .int(let value): self = .int(value)
    case .string(let text): self = .string(text)
    default: return nil
    }
  }

  public var json: JSON {
    switch self {
    case .int(let value): .int(value)
    case .string(let text): .string(text)
    }
  }

  /// The number itself, or the percentage `N%` of `total`.
  ///
  /// - Parameter roundingUp: whether a fraction counts as a whole one, as `maxSurge` does.
  /// - Returns: `nil` for a string that is no percentage.
  public func scaled(of total: Int64, roundingUp: Bool) -> Int64? {
    switch self {
    case .int(let value): return value
    case .string(let text):
      guard text.hasSuffix("%"), let percent = Int64(text.dropLast()) else { return nil }
      let product = Int128(percent) * Int128(total)
      // As a number it would have 32 bits.
      return Int64(Int32(clamping: roundingUp && product > 0 ? (product + 99) / 100 : product / 100))
    }
  }
}

extension IntOrString: ExpressibleByIntegerLiteral, ExpressibleByStringLiteral, CustomStringConvertible {
  public init(integerLiteral value: Int64) { self = .int(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public var description: String {
    switch self {
    case .int(let value): "\(value)"
    case .string(let text): text
    }
  }
}

extension KubeValue {
  /// A value with nothing set.
  public init() { self.init(json: .object(JSONObject())) }
}

extension Secret {
  /// The bytes of a key of `data`; `nil` when the key is absent or is no base64.
  public func bytes(_ key: String) -> [UInt8]? {
    json["data"]?[key]?.string.flatMap { Base64.decode($0) }
  }

  /// Stores the bytes of a key of `data`.
  public mutating func setBytes(_ bytes: [UInt8], for key: String) {
    if json["data"] == nil { json["data"] = [:] }
    json["data"]?[key] = .string(Base64.encode(bytes))
  }
}

extension ConfigMap {
  /// The bytes of a key of `binaryData`; `nil` when the key is absent or is no base64.
  public func bytes(_ key: String) -> [UInt8]? {
    json["binaryData"]?[key]?.string.flatMap { Base64.decode($0) }
  }
}
