/// What `--chmod` asks for: an octal mode, or changes in the notation of `chmod(1)`.
public struct FileMode: Sendable, Equatable {
  private struct Clause: Sendable, Equatable {
    /// The bits that the clause's classes own, without the special ones.
    var classes: UInt32
    /// Whether no class was named: then all are meant.
    var isImplicit: Bool
    var operations: [Operation]
  }

  private struct Operation: Sendable, Equatable {
    enum Sign: Sendable { case add, remove, set }
    var sign: Sign
    /// The permissions, for all three classes.
    var bits: UInt32
    /// `X`: execution only for directories and what somebody may execute already.
    var executesConditionally: Bool
    /// `u`, `g` or `o`: the permissions of that class.
    var copies: UInt8?
    var setsID: Bool
    var isSticky: Bool
  }

  private enum Form: Sendable, Equatable {
    case octal(UInt32)
    case symbolic([Clause])
  }

  private var form: Form

  /// Parses `755`, `0644`, `u=rwX,go=rX`, `+x`, `g=u`.
  public static func parse(_ text: String) throws(DockerfileError) -> FileMode {
    func fail(_ why: String) -> DockerfileError {
      DockerfileError(.value, "invalid chmod parameter: '\(text)'. \(why)")
    }
    guard let first = text.utf8.first else { throw fail("it should be octal string and between 0 and 07777") }
    if first.isDigit {
      guard text.utf8.count <= 8, let mode = UInt32(text, radix: 8), mode <= 0o7777 else {
        throw fail("it should be octal string and between 0 and 07777")
      }
      return FileMode(form: .octal(mode))
    }
    var clauses: [Clause] = []
    for part in text.utf8.split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false) {
      guard let clause = parseClause(part) else {
        throw fail("a change is [ugoa]*[-+=][rwxXst]* or [-+=] with one of u, g, o")
      }
      clauses.append(clause)
    }
    return FileMode(form: .symbolic(clauses))
  }

  private static func parseClause(_ text: Substring.UTF8View) -> Clause? {
    var rest = text[...]
    var clause = Clause(classes: 0, isImplicit: true, operations: [])
    loop: while let byte = rest.first {
      switch byte {
      case UInt8(ascii: "u"): clause.classes |= 0o700
      case UInt8(ascii: "g"): clause.classes |= 0o070
      case UInt8(ascii: "o"): clause.classes |= 0o007
      case UInt8(ascii: "a"): clause.classes |= 0o777
      default: break loop
      }
      clause.isImplicit = false
      rest = rest.dropFirst()
    }
    if clause.isImplicit { clause.classes = 0o777 }
    while let byte = rest.first {
      let sign: Operation.Sign
      switch byte {
      case UInt8(ascii: "+"): sign = .add
      case UInt8(ascii: "-"): sign = .remove
      case UInt8(ascii: "="): sign = .set
      default: return nil
      }
      rest = rest.dropFirst()
      var operation = Operation(
        sign: sign, bits: 0, executesConditionally: false, copies: nil, setsID: false, isSticky: false)
      if let byte = rest.first, byte == UInt8(ascii: "u") || byte == UInt8(ascii: "g") || byte == UInt8(ascii: "o") {
        operation.copies = byte
        rest = rest.dropFirst()
      } else {
        permissions: while let byte = rest.first {
          switch byte {
          case UInt8(ascii: "r"): operation.bits |= 0o444
          case UInt8(ascii: "w"): operation.bits |= 0o222
          case UInt8(ascii: "x"): operation.bits |= 0o111
          case UInt8(ascii: "X"): operation.executesConditionally = true
          case UInt8(ascii: "s"): operation.setsID = true
          case UInt8(ascii: "t"): operation.isSticky = true
          default: break permissions
          }
          rest = rest.dropFirst()
        }
      }
      clause.operations.append(operation)
    }
    return clause.operations.isEmpty ? nil : clause
  }

  /// The mode, if it is the same for every file.
  public var octal: UInt32? {
    if case .octal(let mode) = form { mode } else { nil }
  }

  /// The permission bits (0 to 07777) that a file gets that has `mode` now.
  public func applied(to mode: UInt32, isDirectory: Bool) -> UInt32 {
    switch form {
    case .octal(let octal): return octal
    case .symbolic(let clauses):
      var result = mode & 0o7777
      for clause in clauses {
        for operation in clause.operations {
          var bits = operation.bits
          if operation.executesConditionally, isDirectory || result & 0o111 != 0 { bits |= 0o111 }
          switch operation.copies {
          case UInt8(ascii: "u"): bits = (result >> 6 & 7) * 0o111
          case UInt8(ascii: "g"): bits = (result >> 3 & 7) * 0o111
          case UInt8(ascii: "o"): bits = (result & 7) * 0o111
          default: break
          }
          bits &= clause.classes
          var special: UInt32 = 0
          if operation.setsID {
            if clause.classes & 0o700 != 0 { special |= 0o4000 }
            if clause.classes & 0o070 != 0 { special |= 0o2000 }
          }
          if operation.isSticky, clause.classes == 0o777 { special |= 0o1000 }
          switch operation.sign {
          case .add: result |= bits | special
          case .remove: result &= ~(bits | special)
          case .set:
            var cleared = clause.classes
            // As GNU chmod: a directory keeps its set-id bits unless they are named.
            if !isDirectory {
              if clause.classes & 0o700 != 0 { cleared |= 0o4000 }
              if clause.classes & 0o070 != 0 { cleared |= 0o2000 }
            }
            if clause.classes == 0o777 { cleared |= 0o1000 }
            result = result & ~cleared | bits | special
          }
        }
      }
      return result
    }
  }
}
