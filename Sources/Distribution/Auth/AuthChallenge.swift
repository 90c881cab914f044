import HTTP

/// A challenge of a `WWW-Authenticate` field (RFC 9110, section 11.6.1).
struct AuthChallenge: Sendable, Equatable {
  /// In lower case: `bearer`, `basic`.
  var scheme: String
  /// Names in lower case; a repeated one counts once, the first.
  var parameters: [String: String]

  static let countMax = 16
  private static let lengthMax = 16 << 10

  /// The challenges of all fields in their order; what cannot be read ends its field.
  static func parse(_ values: [String]) -> [AuthChallenge] {
    var challenges: [AuthChallenge] = []
    for value in values where value.utf8.count <= lengthMax {
      var scanner = FieldScanner(value)
      field: while !scanner.isAtEnd, challenges.count < countMax {
        if scanner.take(",") { continue }
        guard let scheme = scanner.takeToken() else { break }
        var challenge = AuthChallenge(scheme: scheme.lowercased(), parameters: [:])
        if scanner.takeSpaces(), scanner.takeToken68() == nil {
          while true {
            let before = scanner
            guard let name = scanner.takeToken() else { break }
            guard scanner.take("=") else {
              // The name was the next challenge's scheme.
              scanner = before
              break
            }
            guard let text = scanner.takeTokenOrQuoted() else {
              challenges.append(challenge)
              break field
            }
            if challenge.parameters[name.lowercased()] == nil { challenge.parameters[name.lowercased()] = text }
            var ended = true
            while scanner.take(",") { ended = false }
            if ended { break }
          }
        }
        challenges.append(challenge)
      }
    }
    return challenges
  }
}
