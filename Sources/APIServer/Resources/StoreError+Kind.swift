import Store

extension StoreError {
  var isExists: Bool { if case .exists = self { true } else { false } }
  var isNotFound: Bool { if case .notFound = self { true } else { false } }
  var isDiskFull: Bool { if case .diskFull = self { true } else { false } }
  /// Another write came between reading and writing.
  var isConflict: Bool {
    switch self {
    case .conflict, .notFound: true
    default: false
    }
  }
}
