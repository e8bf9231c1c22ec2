//! The assignment of least cost (Kuhn, 1955), by shortest augmenting paths.

/// For each row of `costs` (`rows` of `columns` finite numbers, at least as many columns as rows) its column, such that no two
/// rows share one and the sum of costs is the least.
pub(super) fn assign(costs: &[f32], columns: usize) -> Vec<usize> {
    let rows = costs.len() / columns.max(1);
    // Rows and columns are counted from 1; column 0 is where an augmenting path begins.
    let mut row_potential = vec![0f64; rows + 1];
    let mut column_potential = vec![0f64; columns + 1];
    let mut row_of = vec![0usize; columns + 1];
    for row in 1..=rows {
        row_of[0] = row;
        let mut least = vec![f64::INFINITY; columns + 1];
        let mut from = vec![0usize; columns + 1];
        let mut used = vec![false; columns + 1];
        let mut at = 0;
        while row_of[at] != 0 {
            used[at] = true;
            let current = row_of[at];
            let (mut delta, mut next) = (f64::INFINITY, 0);
            for column in 1..=columns {
                if used[column] {
                    continue;
                }
                let cost = f64::from(costs[(current - 1) * columns + column - 1]);
                let reduced = cost - row_potential[current] - column_potential[column];
                if reduced < least[column] {
                    least[column] = reduced;
                    from[column] = at;
                }
                if least[column] < delta {
                    delta = least[column];
                    next = column;
                }
            }
            for column in 0..=columns {
                if used[column] {
                    row_potential[row_of[column]] += delta;
                    column_potential[column] -= delta;
                } else {
                    least[column] -= delta;
                }
            }
            at = next;
        }
        while at != 0 {
            row_of[at] = row_of[from[at]];
            at = from[at];
        }
    }
    let mut assigned = vec![0; rows];
    for (column, &row) in row_of.iter().enumerate().skip(1) {
        if row > 0 {
            assigned[row - 1] = column - 1;
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::assign;

    /// The least sum over all assignments.
    fn least(costs: &[f32], columns: usize, row: usize, taken: &mut Vec<usize>) -> f32 {
        if row * columns == costs.len() {
            return 0.0;
        }
        let mut best = f32::INFINITY;
        for column in 0..columns {
            if !taken.contains(&column) {
                taken.push(column);
                best = best.min(costs[row * columns + column] + least(costs, columns, row + 1, taken));
                taken.pop();
            }
        }
        best
    }

    proptest! {
        #[test]
        fn no_assignment_costs_less(rows in 0usize..4, more in 0usize..3, numbers in prop::collection::vec(-9i8..9, 24)) {
            let columns = rows + more;
            let costs: Vec<f32> = numbers[..rows * columns].iter().map(|&n| f32::from(n)).collect();
            let assigned = assign(&costs, columns);
            prop_assert_eq!(assigned.len(), rows);
            let mut columns_taken = assigned.clone();
            columns_taken.sort_unstable();
            columns_taken.dedup();
            prop_assert_eq!(columns_taken.len(), rows);
            let sum: f32 = assigned.iter().enumerate().map(|(row, &column)| costs[row * columns + column]).sum();
            prop_assert_eq!(sum, least(&costs, columns, 0, &mut Vec::new()));
        }
    }
}
