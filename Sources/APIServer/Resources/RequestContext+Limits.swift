import ControllerKit
import KubeClient
import Schema
import Wire

extension RequestContext {
  /// What a client that asks for no other time has, and the longest that it can ask for. Then the server answers 504, whatever
  /// is under way (`HTTPServerLimits`); a shorter time ends only what has not begun.
  static let durationMax = Duration.seconds(60)

  /// - Throws: 504 when the time is over.
  func checkDeadline() throws(KubeError) {
    if let deadline, ContinuousClock.now >= deadline { throw .requestTimeout }
  }

  /// The deadline of a request that comes now (`k8s.io/apiserver/pkg/endpoints/filters.WithRequestDeadline`).
  ///
  /// - Parameter timeout: the parameter of that name in the URL.
  /// - Throws: 400 for what is no duration.
  static func deadline(timeout: String?) throws(KubeError) -> ContinuousClock.Instant {
    var duration = durationMax
    if let timeout, !timeout.isEmpty {
      guard let asked = GoDuration.parse(timeout) else {
        throw .badRequest("invalid timeout specified in the request URL: \"\(timeout)\" is no duration such as 10s")
      }
      if asked > .zero { duration = min(asked, durationMax) }
    }
    return ContinuousClock.now + duration
  }
}

/// The name under which a write's fields are owned.
enum FieldManager {
  /// In bytes.
  static let lengthMax = 128

  /// `k8s.io/apimachinery/pkg/apis/meta/v1/validation.ValidateFieldManager`.
  ///
  /// - Parameter options: the kind that refusals name, such as `CreateOptions`.
  static func check(_ name: String, options: String) throws(KubeError) {
    var errors: [FieldError] = []
    if name.utf8.count > lengthMax {
      errors.append(
        FieldError(type: .tooLong, path: "fieldManager", detail: "may not be more than \(lengthMax) bytes"))
    }
    var position = 0
    for scalar in name.unicodeScalars {
      if !isPrintable(scalar) {
        let code = String(scalar.value, radix: 16, uppercase: true)
        let padded = String(repeating: "0", count: max(0, 4 - code.count)) + code
        errors.append(
          FieldError(
            type: .invalid, path: "fieldManager", value: .string(name),
            detail: "invalid character U+\(padded) (at position \(position))"))
        // One says what is wrong.
        break
      }
      position += UTF8.width(scalar)
    }
    if errors.isEmpty { return }
    throw .invalid(kind: GroupVersionKind(group: "meta.k8s.io", version: "v1", kind: options), name: "", errors)
  }

  /// The manager of a write that names none (`k8s.io/apiserver/pkg/endpoints/handlers.prefixFromUserAgent`): what the program
  /// says that it is, up to its version.
  static func name(userAgent: String?) -> String {
    guard let userAgent else { return "" }
    // What nearly all are, without a look at each scalar.
    let program = userAgent.utf8.prefix { $0 != UInt8(ascii: "/") }
    if program.count <= lengthMax, program.allSatisfy({ (0x20..<0x7F).contains($0) }) {
      return String(Substring(program))
    }
    var name = String.UnicodeScalarView()
    var length = 0
    for scalar in userAgent.unicodeScalars {
      if scalar == "/" { break }
      guard isPrintable(scalar) else { continue }
      length += UTF8.width(scalar)
      if length > lengthMax { break }
      name.append(scalar)
    }
    return String(name)
  }

  /// As Go's `unicode.IsPrint`.
  private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII { return (0x20..<0x7F).contains(scalar.value) }
    switch scalar.properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
      .spaceSeparator:
      return false
    default: return true
    }
  }
}
