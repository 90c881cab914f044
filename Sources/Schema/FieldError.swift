public import Wire

/// What is wrong with one field, in the words of Kubernetes (`field.Error` of apimachinery).
public struct FieldError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The raw value is the `reason` of a cause in `Status.details`.
  public enum Kind: String, Sendable {
    case required = "FieldValueRequired"
    case invalid = "FieldValueInvalid"
    case duplicate = "FieldValueDuplicate"
    case notFound = "FieldValueNotFound"
    case notSupported = "FieldValueNotSupported"
    case forbidden = "FieldValueForbidden"
    case tooLong = "FieldValueTooLong"
    case tooMany = "FieldValueTooMany"
    case typeInvalid = "FieldValueTypeInvalid"
  }

  public var type: Kind
  public var path: String
  /// The refused value; `nil` where the kind of error shows none.
  public var value: JSON?
  public var detail: String

  public init(type: Kind, path: String, value: JSON? = nil, detail: String = "") {
    self.type = type
    // What is wrong with the object as a whole is written so.
    self.path = path.isEmpty ? "[]" : path
    self.value = value
    self.detail = detail
  }

  /// The message without the path: `Required value`, `Invalid value: 0: must be greater than 0`.
  public var message: String {
    let text: String
    switch type {
    case .required: text = "Required value"
    case .invalid, .typeInvalid: text = "Invalid value: \(shown)"
    case .duplicate: text = "Duplicate value: \(shown)"
    case .notFound: text = "Not found: \(shown)"
    case .notSupported: text = "Unsupported value: \(shown)"
    case .forbidden: text = "Forbidden"
    case .tooLong: text = "Too long"
    case .tooMany: text = "Too many: \(shown)"
    }
    return detail.isEmpty ? text : "\(text): \(detail)"
  }

  /// `spec.containers[0].image: Required value`.
  public var description: String { "\(path): \(message)" }

  /// The value as text; long ones are cut, since the message goes to terminals and logs.
  private var shown: String {
    guard let value else { return "null" }
    let text = value.text
    return text.utf8.count <= 1024 ? text : String(decoding: text.utf8.prefix(1021), as: UTF8.self) + "..."
  }
}

extension FieldError {
  public static func required(_ path: FieldPath, _ detail: String = "") -> FieldError {
    FieldError(type: .required, path: path.description, detail: detail)
  }

  public static func invalid(_ path: FieldPath, _ value: JSON, _ detail: String) -> FieldError {
    FieldError(type: .invalid, path: path.description, value: value, detail: detail)
  }

  public static func duplicate(_ path: FieldPath, _ value: JSON) -> FieldError {
    FieldError(type: .duplicate, path: path.description, value: value)
  }

  /// A reference to what is not there.
  public static func notFound(_ path: FieldPath, _ value: JSON) -> FieldError {
    FieldError(type: .notFound, path: path.description, value: value)
  }

  /// - Parameter supported: the values that are allowed, in the order in which the message lists them.
  public static func notSupported(_ path: FieldPath, _ value: JSON, _ supported: [String]) -> FieldError {
    let list = supported.map { "\"\($0)\"" }.joined(separator: ", ")
    return FieldError(
      type: .notSupported, path: path.description, value: value,
      detail: list.isEmpty ? "" : "supported values: \(list)")
  }

  public static func forbidden(_ path: FieldPath, _ detail: String) -> FieldError {
    FieldError(type: .forbidden, path: path.description, detail: detail)
  }

  public static func tooLong(_ path: FieldPath, _ bytesMax: Int) -> FieldError {
    FieldError(type: .tooLong, path: path.description, detail: "may not be more than \(bytesMax) bytes")
  }

  public static func tooMany(_ path: FieldPath, _ count: Int, _ countMax: Int) -> FieldError {
    FieldError(
      type: .tooMany, path: path.description, value: .int(Int64(count)), detail: "must have at most \(countMax) items")
  }
}
