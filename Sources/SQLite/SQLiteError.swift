/// Why SQLite could not do what was asked. Each text names the file.
package enum SQLiteError: Error, Equatable {
  /// No space is left on the device, or the quota is used up.
  case diskFull(_ path: String)
  case corrupt(path: String, reason: String)
  case io(String)
}
