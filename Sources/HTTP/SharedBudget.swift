/// An amount that many share, of which nobody gets everything: bytes of bodies in memory, requests at one time.
///
/// Each holder has a share at most, and a part is kept for those whom no other must shut out. A value apart from IO; its
/// owner keeps it under a lock.
package struct SharedBudget: Sendable {
  package struct Limits: Sendable, Equatable {
    package var total: Int
    /// What one holder may have.
    package var share: Int
    /// What only the privileged may take.
    package var kept: Int

    package init(total: Int, share: Int, kept: Int) {
      precondition(total > 0 && share > 0 && kept >= 0 && kept < total, "a budget leaves something for everybody")
      self.total = total
      self.share = share
      self.kept = kept
    }
  }

  package var limits: Limits
  package private(set) var used = 0
  private var held: [String: Int] = [:]

  package init(limits: Limits) { self.limits = limits }

  /// Takes an amount, all of it or nothing. Who holds nothing yet gets it as soon as there is room, also when it is more
  /// than a share: otherwise it would never be.
  package mutating func take(_ amount: Int, for holder: String, isPrivileged: Bool = false) -> Bool {
    precondition(amount >= 0, "an amount is not negative")
    if isPrivileged {
      guard amount <= limits.total - used else { return false }
    } else {
      let mine = held[holder, default: 0]
      // No sum before it is known to fit: amounts come from outside.
      guard amount <= limits.total - limits.kept - used, mine + amount <= limits.share || mine == 0 else {
        return false
      }
    }
    used += amount
    if amount > 0 { held[holder, default: 0] += amount }
    return true
  }

  /// Gives back what `take` has given.
  package mutating func giveBack(_ amount: Int, of holder: String) {
    guard amount > 0 else { return }
    let mine = held[holder, default: 0]
    precondition(mine >= amount && used >= amount, "more is given back than was taken")
    used -= amount
    held[holder] = mine > amount ? mine - amount : nil
  }

  /// Of one holder.
  package func held(by holder: String) -> Int { held[holder, default: 0] }
}
