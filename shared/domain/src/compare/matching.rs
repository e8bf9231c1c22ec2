//! Which detection is which subject.

use std::cmp::Ordering;

use super::Similarities;

/// For each column of a square matrix the row that is taken for it: the largest value among the rows that are left, column
/// by column.
///
/// Among rows that are equal there, the one whose later values are smaller is taken, which leaves the larger ones to the
/// later columns; where these are equal, too, the values of the columns before decide. So the order of the rows does not
/// count: rows that are left undecided are the same.
pub(super) fn greedy(rows: &Similarities) -> Vec<usize> {
    let mut left: Vec<usize> = (0..rows.len()).collect();
    (0..rows.len())
        .filter_map(|column| {
            let better = |&(_, &a): &(usize, &usize), &(_, &b): &(usize, &usize)| {
                let later = || in_order(&rows[b][column + 1..], &rows[a][column + 1..]);
                let before = || in_order(&rows[b][..column], &rows[a][..column]);
                rows[a][column].total_cmp(&rows[b][column]).then_with(later).then_with(before)
            };
            let position = left.iter().enumerate().max_by(better)?.0;
            Some(left.swap_remove(position))
        })
        .collect()
}

fn in_order(a: &[f64], b: &[f64]) -> Ordering {
    let different = a.iter().zip(b).map(|(a, b)| a.total_cmp(b)).find(|order| order.is_ne());
    different.unwrap_or(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_choose_in_their_order() {
        // The second column would prefer row 0, too, but comes later.
        assert_eq!(greedy(&vec![vec![0.9, 0.95], vec![0.8, 0.1]]), [0, 1]);
        assert_eq!(greedy(&vec![vec![0.1, 0.9, 0.2], vec![0.2, 0.8, 0.7], vec![0.6, 0.1, 0.0]]), [2, 0, 1]);
        assert_eq!(greedy(&Vec::new()), [0; 0]);
    }

    #[test]
    fn among_equals_the_later_columns_decide() {
        assert_eq!(greedy(&vec![vec![0.9, 0.8], vec![0.9, 0.3]]), [1, 0]);
        assert_eq!(greedy(&vec![vec![0.9, 0.3], vec![0.9, 0.8]]), [0, 1]);
    }

    #[test]
    fn among_equals_to_the_end_the_columns_before_decide() {
        let [first, low, high] = [[0.9, 0.0, 0.0], [0.1, 0.5, 0.4], [0.3, 0.5, 0.4]].map(Vec::from);
        assert_eq!(greedy(&vec![first.clone(), low.clone(), high.clone()]), [0, 1, 2]);
        assert_eq!(greedy(&vec![first, high, low]), [0, 2, 1]);
    }
}
